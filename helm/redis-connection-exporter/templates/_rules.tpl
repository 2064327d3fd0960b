{{/*
One rule of files/rules as the values want it: `rule` and `of`, the section prometheusRule. A threshold takes its
number from there, a link its beginning, and what is not known there leaves no link that leads nowhere.
*/}}
{{- define "redis-connection-exporter.rule" -}}
{{- $rule := deepCopy .rule }}
{{- $name := ($rule.labels | default dict).name | default "" }}
{{- if and (eq ($rule.record | default "") "redis_connection:threshold") (hasKey .of.thresholds $name) }}
{{- $_ := set $rule "expr" (printf "vector(%s)" (get .of.thresholds $name | toJson)) }}
{{- end }}
{{- if $rule.alert }}
{{- $_ := set $rule "labels" (merge dict ($rule.labels | default dict) .of.alertLabels) }}
{{- $annotations := omit $rule.annotations "runbook_url" "dashboard_url" }}
{{- with .of.runbooksUrl }}
{{- $_ := set $annotations "runbook_url" (printf "%s/%s" (trimSuffix "/" .) (base $rule.annotations.runbook_url)) }}
{{- end }}
{{- with .of.grafanaUrl }}
{{- $_ := set $annotations "dashboard_url" (regexReplaceAll "^.*?/d/" $rule.annotations.dashboard_url (printf "%s/d/" (trimSuffix "/" . | replace "$" "$$"))) }}
{{- end }}
{{- $_ := set $rule "annotations" $annotations }}
{{- end }}
{{- toYaml $rule }}
{{- end }}
