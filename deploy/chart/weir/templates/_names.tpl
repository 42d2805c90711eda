{{- define "weir.name" -}}
{{- if contains "weir" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-weir" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "weir.selector" -}}
app.kubernetes.io/name: weir
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Keys with their values: what JSON writes for texts, numbers, booleans and lists of texts, TOML reads. */ -}}
{{- define "weir.keys" -}}
{{- range $key, $value := . }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{- end }}

{{- define "weir.config" -}}
# Made by the chart from its values; proxy.toml in weir's documentation explains every setting.

[listen]
address = "*:6432"
drain_timeout = "{{ .Values.drainSeconds }}s"
{{- with .Values.tls.secretName }}
tls = {{ $.Values.tls.mode | toJson }}
tls_certificate = "/etc/weir/tls/tls.crt"
tls_key = "/etc/weir/tls/tls.key"
{{- end }}
{{- include "weir.keys" .Values.config.listen }}

[metrics]
address = "0.0.0.0:{{ .Values.metrics.port }}"
{{- include "weir.keys" .Values.config.metrics }}
{{ range $id := untilStep 1 (int (add .Values.replicas 1)) 1 }}
[[peers]]
id = {{ $id }}
host = "{{ include "weir.name" $ }}-{{ $id }}.{{ include "weir.name" $ }}-peers.{{ $.Release.Namespace }}.svc"
port = 6432
{{ end }}
{{- range .Values.servers }}
[[servers]]
{{- include "weir.keys" . }}
{{ end }}
{{- range $index, $user := .Values.users }}
[[users]]
{{- include "weir.keys" (omit $user "passwordSecret") }}
{{- if $user.passwordSecret }}
password_env = "WEIR_USER_{{ $index }}_PASSWORD"
{{- end }}
{{ end }}
{{- range .Values.databases }}
[[databases]]
{{- include "weir.keys" . }}
{{ end }}
{{- range .Values.rules }}
[[routing.rules]]
{{- include "weir.keys" . }}
{{ end }}
{{- range $section, $keys := omit .Values.config "listen" "metrics" }}
[{{ $section }}]
{{- include "weir.keys" $keys }}
{{ end }}
{{- end }}
