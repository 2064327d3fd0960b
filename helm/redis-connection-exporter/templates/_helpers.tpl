{{- define "redis-connection-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 47 characters leave room for "-connection-test"; the name of a StatefulSet may have 52. */}}
{{- define "redis-connection-exporter.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- end }}

{{/* What tells the release's objects from those of others, test pods included. */}}
{{- define "redis-connection-exporter.identityLabels" -}}
app.kubernetes.io/name: {{ include "redis-connection-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Every exporter of the release. */}}
{{- define "redis-connection-exporter.selectorLabels" -}}
{{ include "redis-connection-exporter.identityLabels" . }}
app.kubernetes.io/component: exporter
{{- end }}

{{/*
Labels of an object: what selectors ask for, then `own` ones, those of all objects, and what is usual.
The first that has a label wins.
*/}}
{{- define "redis-connection-exporter.labels" -}}
{{- $selected := include "redis-connection-exporter.identityLabels" .root | fromYaml }}
{{- with .component }}{{ $_ := set $selected "app.kubernetes.io/component" . }}{{ end }}
{{- $chart := .root.Chart }}
{{- $usual := dict
  "helm.sh/chart" (printf "%s-%s" $chart.Name $chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" $chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" (include "redis-connection-exporter.name" .root)
}}
{{- merge $selected (.own | default dict) .root.Values.commonLabels $usual | toYaml }}
{{- end }}

{{/* Metadata of an object; `of` is its section of the values, `name` its name where it differs. */}}
{{- define "redis-connection-exporter.metadata" -}}
{{- $of := .of | default dict -}}
name: {{ .name | default (include "redis-connection-exporter.fullname" .root) }}
namespace: {{ $of.namespace | default .root.Release.Namespace }}
labels:
  {{- include "redis-connection-exporter.labels" (dict "root" .root "own" $of.labels "component" .component) | nindent 2 }}
{{- with merge dict ($of.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "redis-connection-exporter.serviceAccountName" -}}
{{- $own := ternary (include "redis-connection-exporter.fullname" .) "default" .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default $own }}
{{- end }}

{{- define "redis-connection-exporter.image" -}}
{{- with .Values.image }}
{{- $registry := $.Values.global.imageRegistry | default .registry }}
{{- with $registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The port of the first address that the exporter listens on. */}}
{{- define "redis-connection-exporter.port" -}}
{{- $address := first .Values.config.web.listen_address }}
{{- $port := splitList ":" $address | last }}
{{- if regexMatch "^(127\\.|localhost:|\\[::1\\])" $address }}
{{- fail (printf "config.web.listen_address: neither probes nor scrapes reach %s: write [':%s'], or an address of the pod first" $address $port) }}
{{- end }}
{{- $port }}
{{- end }}

{{/* The port of the Service; a headless one leads to the pods' own. */}}
{{- define "redis-connection-exporter.servicePort" -}}
{{- $own := ternary .Values.service.port 0 (ne .Values.service.clusterIP "None") }}
{{- $own | default (include "redis-connection-exporter.port" .) }}
{{- end }}

{{/* What the two Services have in common, with the port of each. */}}
{{- define "redis-connection-exporter.serviceSpec" -}}
{{- with .root.Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .root.Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: http, port: {{ .port }}, targetPort: http, protocol: TCP}
selector:
  {{- include "redis-connection-exporter.selectorLabels" .root | nindent 2 }}
{{- end }}

{{/* The Service that gives each pod of the shards a name. */}}
{{- define "redis-connection-exporter.headlessName" -}}
{{ include "redis-connection-exporter.fullname" . }}-headless
{{- end }}

{{- define "redis-connection-exporter.testLabels" -}}
{{ include "redis-connection-exporter.identityLabels" . }}
app.kubernetes.io/component: test
{{- end }}
