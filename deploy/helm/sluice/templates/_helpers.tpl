{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "sluice.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sluice.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ include "sluice.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sluice.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "sluice.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "sluice.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- /* How long a pod may take to end: all that it does one after the other, and a moment to close. */ -}}
{{- define "sluice.grace" -}}
{{ add .Values.drain.preStopSeconds .Values.drain.delaySeconds .Values.drain.timeoutSeconds 5 }}
{{- end }}

{{- define "sluice.resources" -}}
{{- if .Values.resources }}{{ toYaml .Values.resources }}
{{- else }}
{{- $memory := printf "%dMi" (add .Values.memory.weights .Values.memory.kvCache .Values.memory.overhead) }}
requests:
  cpu: {{ .Values.threads | quote }}
  memory: {{ $memory }}
limits:
  cpu: {{ .Values.threads | quote }}
  memory: {{ $memory }}
{{- end }}
{{- end }}

{{- define "sluice.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Not empty if extraArgs or env leave out the gateway, which then takes no --http-host. */ -}}
{{- define "sluice.noGateway" -}}
{{- range .Values.extraArgs }}{{ if has . (list "--no-gateway" "--no-gateway=true") }}true{{ end }}{{ end }}
{{- range .Values.env }}{{ if and (eq (toString .name) "SLUICE_NO_GATEWAY") (ne (toString .value) "false") }}true{{ end }}{{ end }}
{{- end }}

{{- /* What no schema can say. */ -}}
{{- define "sluice.check" -}}
{{- $sources := 0 }}
{{- if .Values.model.volume }}{{ $sources = add1 $sources }}{{ end }}
{{- if .Values.model.convert }}{{ $sources = add1 $sources }}{{ end }}
{{- if .Values.model.setup.enabled }}{{ $sources = add1 $sources }}{{ end }}
{{- if ne (int $sources) 1 }}
{{- fail "give exactly one of model.volume, model.convert and model.setup.enabled: where the models come from" }}
{{- end }}
{{- if and .Values.autoscaling.hpa.enabled .Values.autoscaling.keda.enabled }}
{{- fail "autoscaling.hpa and autoscaling.keda would work against each other: enable one" }}
{{- end }}
{{- if and .Values.tls.clientAuth (not .Values.tls.secretName) }}
{{- fail "tls.clientAuth needs tls.secretName" }}
{{- end }}
{{- if and .Values.tls.clientIDs (not .Values.tls.clientAuth) }}
{{- fail "tls.clientIDs needs tls.clientAuth" }}
{{- end }}
{{- if and .Values.tls.clientCRL.configMapName (not .Values.tls.clientAuth) }}
{{- fail "tls.clientCRL needs tls.clientAuth" }}
{{- end }}
{{- if and .Values.httpHosts (include "sluice.noGateway" .) }}
{{- fail "httpHosts is of no use with --no-gateway" }}
{{- end }}
{{- if gt (int .Values.prefixCache) (div .Values.memory.kvCache 2) }}
{{- fail "prefixCache is at most half of memory.kvCache" }}
{{- end }}
{{- if and .Values.inferencePool.enabled .Values.tls.secretName }}
{{- fail "an InferencePool reaches its pods without TLS: leave tls.secretName empty, and encrypt by the mesh" }}
{{- end }}
{{- end }}

{{- define "sluice.ready" -}}
{{- if .Values.tls.secretName -}}
httpGet: {path: /readyz, port: http, scheme: HTTPS}
{{- else -}}
grpc: {port: 50051}
{{- end }}
{{- end }}
