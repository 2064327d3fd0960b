{{/* What the endpoint of a ServiceMonitor and of a PodMonitor have in common. `of` is the section of the values. */}}
{{- define "redis-connection-exporter.endpoint" -}}
port: http
path: {{ .root.Values.config.web.telemetry_path }}
{{- with .of }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- if .honorLabels }}
honorLabels: true
{{- end }}
relabelings:
  - {targetLabel: job, replacement: {{ $.root.Values.jobName }}}
  {{- with .relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{ include "redis-connection-exporter.scrape" . }}
{{- end }}
{{- end }}

{{- define "redis-connection-exporter.scrape" -}}
scheme: {{ .scheme }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where Prometheus asks for targets: the Service, or each pod of the shards. */}}
{{- define "redis-connection-exporter.scrapeAddresses" -}}
{{- if eq (int .Values.shards) 1 }}
- {{ include "redis-connection-exporter.fullname" . }}.{{ .Release.Namespace }}.svc:{{ include "redis-connection-exporter.servicePort" . }}
{{- else }}
{{- range $number := until (mul .Values.shards .Values.replicaCount | int) }}
- {{ include "redis-connection-exporter.fullname" $ }}-{{ $number }}.{{ include "redis-connection-exporter.headlessName" $ }}.{{ $.Release.Namespace }}.svc:{{ include "redis-connection-exporter.port" $ }}
{{- end }}
{{- end }}
{{- end }}

{{/* Two ways of scraping at once would count every server twice. */}}
{{- define "redis-connection-exporter.onlyMonitor" -}}
{{- $enabled := list }}
{{- range $kind := list "serviceMonitor" "podMonitor" "scrapeConfig" }}
{{- if (get $.Values $kind).enabled }}{{ $enabled = append $enabled $kind }}{{ end }}
{{- end }}
{{- if gt (len $enabled) 1 }}
{{- fail (printf "%s are enabled: each scrapes everything, write enabled: true for one of them" (join " and " $enabled)) }}
{{- end }}
{{- end }}
