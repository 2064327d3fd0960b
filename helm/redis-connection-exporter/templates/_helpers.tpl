{{- define "redis-connection-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 47 characters leave room for what is appended: the number of a shard, "-connection-test". */}}
{{- define "redis-connection-exporter.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 47 | trimSuffix "-" }}
{{- end }}

{{/* The first shard keeps the plain name, so that going from one shard to several replaces nothing. */}}
{{- define "redis-connection-exporter.shardName" -}}
{{- $fullname := include "redis-connection-exporter.fullname" .root }}
{{- ternary $fullname (printf "%s-%d" $fullname (int .shard)) (eq (int .shard) 0) }}
{{- end }}

{{/* What tells the release's objects from those of others, test pods included. */}}
{{- define "redis-connection-exporter.identityLabels" -}}
app.kubernetes.io/name: {{ include "redis-connection-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Every exporter of the release, whatever its shard. */}}
{{- define "redis-connection-exporter.selectorLabels" -}}
{{ include "redis-connection-exporter.identityLabels" . }}
app.kubernetes.io/component: exporter
{{- end }}

{{- define "redis-connection-exporter.shardLabels" -}}
{{ include "redis-connection-exporter.selectorLabels" .root }}
redis-connection-exporter/shard: {{ .shard | quote }}
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

{{/* Metadata of an object; `of` is its section of the values, `name` and `suffix` its name where it differs. */}}
{{- define "redis-connection-exporter.metadata" -}}
{{- $of := .of | default dict -}}
name: {{ .name | default (include "redis-connection-exporter.fullname" .root) }}
namespace: {{ $of.namespace | default .root.Release.Namespace }}
labels:
  {{- include "redis-connection-exporter.labels" .root | nindent 2 }}
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

{{- define "redis-connection-exporter.serviceSpec" -}}
type: {{ .Values.service.type }}
{{- with .Values.service.clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - {name: http, port: {{ .Values.service.port }}, targetPort: http, protocol: TCP}
{{- end }}

{{/* The Service that leads to one shard: with a single one, the Service of all. */}}
{{- define "redis-connection-exporter.shardServiceName" -}}
{{- $fullname := include "redis-connection-exporter.fullname" .root }}
{{- ternary (printf "%s-shard-%d" $fullname (int .shard)) $fullname (gt (int .root.Values.shards) 1) }}
{{- end }}

{{- define "redis-connection-exporter.testLabels" -}}
{{ include "redis-connection-exporter.identityLabels" . }}
app.kubernetes.io/component: test
{{- end }}
