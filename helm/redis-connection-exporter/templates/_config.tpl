{{/*
The files that one target, or `auth`, takes from Secrets and ConfigMaps: setting -> kind, name and key.
*/}}
{{- define "redis-connection-exporter.files" -}}
{{- with .passwordSecret }}
password_file: {kind: secret, name: {{ quote .name }}, key: {{ .key | default "password" | quote }}}
{{- end }}
{{- with .tls }}
{{- with .caSecret }}
ca_file: {kind: secret, name: {{ quote .name }}, key: {{ .key | default "ca.crt" | quote }}}
{{- end }}
{{- with .caConfigMap }}
ca_file: {kind: configMap, name: {{ quote .name }}, key: {{ .key | default "ca.crt" | quote }}}
{{- end }}
{{- with .certSecret }}
cert_file: {kind: secret, name: {{ quote .name }}, key: {{ .certKey | default "tls.crt" | quote }}}
key_file: {kind: secret, name: {{ quote .name }}, key: {{ .keyKey | default "tls.key" | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* Where such a file is within the volume. */}}
{{- define "redis-connection-exporter.filePath" -}}
{{ .kind }}/{{ .name }}/{{ .key }}
{{- end }}

{{/*
One target, or `auth`, as the exporter reads it: each reference has become the path of a mounted file.
`of` is the target, `where` what an error calls it. No error repeats a value: it may be a password.
*/}}
{{- define "redis-connection-exporter.resolved" -}}
{{- $resolved := omit .of "passwordSecret" "tls" }}
{{- if hasKey .of "password" }}
{{- fail (printf "%s.password: a password does not belong in values, where everybody who may read the release finds it: put it into a Secret and write passwordSecret: {name: SECRET, key: KEY}" .where) }}
{{- end }}
{{- if contains "@" (.of.url | default "") }}
{{- fail (printf "%s.url: a URL carries no credentials here: write redis://host:6379 and beside it username: and passwordSecret:" .where) }}
{{- end }}
{{- $tls := omit (.of.tls | default dict) "caSecret" "caConfigMap" "certSecret" }}
{{- if and (.of.tls | default dict).caSecret (.of.tls | default dict).caConfigMap }}
{{- fail (printf "%s.tls: write caSecret or caConfigMap, not both" .where) }}
{{- end }}
{{- range $setting, $file := include "redis-connection-exporter.files" .of | fromYaml }}
{{- $holder := ternary $resolved $tls (eq $setting "password_file") }}
{{- if hasKey $holder $setting }}
{{- fail (printf "%s: %s is given, and a Secret or ConfigMap for it as well: write one of them" $.where $setting) }}
{{- end }}
{{- $_ := set $holder $setting (printf "/run/redis-connection-exporter/%s" (include "redis-connection-exporter.filePath" $file)) }}
{{- end }}
{{- with $tls }}{{ $_ := set $resolved "tls" . }}{{ end }}
{{- toYaml $resolved }}
{{- end }}

{{/* The exporter's configuration file. */}}
{{- define "redis-connection-exporter.config" -}}
{{- $config := deepCopy .Values.config }}
{{- with include "redis-connection-exporter.resolved" (dict "of" .Values.auth "where" "auth") | fromYaml }}
{{- $_ := set $config "auth" . }}
{{- end }}
{{- $targets := list }}
{{- range $number, $target := .Values.targets }}
{{- $where := printf "targets[%d]" $number }}
{{- $targets = append $targets (include "redis-connection-exporter.resolved" (dict "of" $target "where" $where) | fromYaml) }}
{{- end }}
{{- $_ := set $config "targets" $targets }}
{{- if eq $config.poll.timeout "2s" }}{{/* The default follows a shorter interval where it is not written. */}}
{{- $_ := unset $config.poll "timeout" }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Whether the configuration file is the chart's own; one that is neither its own nor another's is an error. */}}
{{- define "redis-connection-exporter.ownConfig" -}}
{{- $others := compact (list .Values.existingConfig.configMap .Values.existingConfig.secret) }}
{{- if gt (len $others) 1 }}
{{- fail "existingConfig: write configMap or secret, not both" }}
{{- end }}
{{- if and $others .Values.targets }}
{{- fail "targets: has no effect beside existingConfig: write the targets into that file, or leave existingConfig out" }}
{{- end }}
{{- if not (or $others .Values.targets) }}
{{- fail "targets: no server to watch: write targets: [{name: orders, url: 'redis://orders:6379'}], or name your own file in existingConfig" }}
{{- end }}
{{- if not $others }}true{{ end }}
{{- end }}

{{/*
The sources of the volume of files. They are optional: where one Secret is missing, its target is in state
"auth" or "tls" and the others are watched, instead of no pod being able to start.
*/}}
{{- define "redis-connection-exporter.fileSources" -}}
{{- $keys := dict }}
{{- range prepend .Values.targets .Values.auth }}
{{- range include "redis-connection-exporter.files" . | fromYaml }}
{{- $source := printf "%s/%s" .kind .name }}
{{- $_ := set $keys $source (append (get $keys $source | default list) .key | uniq) }}
{{- end }}
{{- end }}
{{- range $source, $files := $keys }}
- {{ dir $source }}:
    name: {{ base $source }}
    optional: true
    items:
      {{- range $files }}
      - {key: {{ quote . }}, path: {{ printf "%s/%s" $source . | quote }}}
      {{- end }}
{{- end }}
{{- end }}
