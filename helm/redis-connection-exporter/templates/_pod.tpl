{{/* The pod of the Deployment or the StatefulSet. */}}
{{- define "redis-connection-exporter.pod" -}}
{{- $sharded := gt (int .Values.shards) 1 -}}
metadata:
  labels:
    {{- include "redis-connection-exporter.labels" (dict "root" . "own" .Values.podLabels "component" "exporter") | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: exporter
    {{- if include "redis-connection-exporter.ownConfig" . }}
    checksum/config: {{ include "redis-connection-exporter.config" . | sha256sum }}
    {{- end }}
    {{- with merge dict .Values.podAnnotations .Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "redis-connection-exporter.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automountToken }}
  # Variables that Kubernetes makes for a Service named "exporter" would look like the exporter's own.
  enableServiceLinks: false
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with concat .Values.global.imagePullSecrets .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - name: exporter
      image: {{ include "redis-connection-exporter.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      {{- with .Values.command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      args:
        - --config.file=/etc/redis-connection-exporter/exporter.yaml
        {{- with .Values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or $sharded .Values.extraEnv }}
      env:
        {{- if $sharded }}
        # The number at the end of the pod's name, modulo the shards.
        - {name: EXPORTER_SHARD__INDEX, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - {name: EXPORTER_SHARD__COUNT, value: {{ .Values.shards | quote }}}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - {name: http, containerPort: {{ include "redis-connection-exporter.port" . }}, protocol: TCP}
      {{- with .Values.startupProbe }}
      startupProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.livenessProbe }}
      livenessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.readinessProbe }}
      readinessProbe:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/redis-connection-exporter, readOnly: true}
        {{- if include "redis-connection-exporter.fileSources" . }}
        - {name: files, mountPath: /run/redis-connection-exporter, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      {{- with .Values.existingConfig.secret }}
      secret: {secretName: {{ . }}}
      {{- else }}
      configMap: {name: {{ .Values.existingConfig.configMap | default (include "redis-connection-exporter.fullname" .) }}}
      {{- end }}
    {{- with include "redis-connection-exporter.fileSources" . | trim }}
    - name: files
      projected:
        # Readable for whichever user the image or the cluster chooses; nothing else runs in this container.
        defaultMode: 0444
        sources:
          {{- . | nindent 10 }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- $pods := dict "labelSelector" (dict "matchLabels" (include "redis-connection-exporter.selectorLabels" $ | fromYaml)) }}
    {{- range . }}
    - {{ merge (deepCopy .) (ternary dict $pods (hasKey . "labelSelector")) | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
{{- end }}
