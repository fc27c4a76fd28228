{{/* Name of everything that belongs to this release; `opamp-gateway` is not repeated when the release is called that. */}}
{{- define "opamp.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{/* Labels that select the pods of a part: (list $ "gateway"). */}}
{{- define "opamp.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "opamp.labels" -}}
{{- $root := index . 0 -}}
{{ include "opamp.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "opamp.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "opamp.redisSecret" -}}
{{ .Values.redis.existingSecret | default (printf "%s-redis" (include "opamp.fullname" .)) }}
{{- end -}}

{{/* Environment of a part: (list $ .Values.gateway). Its own variables win over the common ones. */}}
{{- define "opamp.env" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
- name: OPAMP_REDIS_URL
  valueFrom: { secretKeyRef: { name: {{ include "opamp.redisSecret" $root }}, key: url } }
{{- range $name, $value := merge (deepCopy ($part.env | default dict)) ($root.Values.env | default dict) }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What both containers have in common: no root, no privileges, nothing written but /tmp. */}}
{{- define "opamp.security" -}}
securityContext:
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
{{- end -}}

{{- define "opamp.pod" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
{{- $component := index . 2 -}}
# A Service called opamp-gateway would inject OPAMP_GATEWAY_PORT=tcp://… into every pod.
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile: { type: RuntimeDefault }
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "opamp.selector" (list $root $component) | nindent 8 }}
{{- end -}}
