{{- define "farm.name" -}}
{{- default .Release.Name .Values.name -}}
{{- end -}}

{{- define "farm.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: opencue
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "farm.image" -}}
{{ .Values.test.image.repository }}:{{ default .Chart.AppVersion .Values.test.image.tag }}
{{- end -}}

{{/* Objects of `helm test` alone: they come before its pod, and go when it has passed. */}}
{{- define "farm.test" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
