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

{{- define "redis-connection-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "redis-connection-exporter.identityLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "redis-connection-exporter.name" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of an object; `of` is its section of the values, `name` its name where it differs. */}}
{{- define "redis-connection-exporter.metadata" -}}
{{- $of := .of | default dict -}}
name: {{ .name | default (include "redis-connection-exporter.fullname" .root) }}
namespace: {{ $of.namespace | default .root.Release.Namespace }}
labels:
  {{- include "redis-connection-exporter.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with $of.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
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
{{- first .Values.config.web.listen_address | splitList ":" | last }}
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
