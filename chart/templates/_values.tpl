{{/*
The defaults of values.yaml once more. `helm upgrade --reuse-values` renders with the values of the release's own chart, which
may be older than any key, and `key: null` removes one: so templates read image-refresh.values, never a .Values that must be
there. A test renders the chart with and without values.yaml, and both must give the same objects.
*/}}
{{- define "image-refresh.defaults" -}}
annotationPrefix: tracebloc.io
resolveFailureThreshold: 3
rolloutFailureThreshold: 3
unsettledThreshold: 8
contestedThreshold: 3
rolloutTimeout: 10m
rollback: true
maxRollouts: 10
resolveTimeout: 30s
concurrency: 8
clusterName: ""
runbookURL: ""
notify:
  key: urls
heartbeat:
  key: url
logLevel: info
logFormat: json
proxy: {}
schedule: 7-59/15 * * * *
startingDeadlineSeconds: 600
successfulJobsHistoryLimit: 1
failedJobsHistoryLimit: 1
ttlSecondsAfterFinished: 86400
image:
  repository: ghcr.io/tracebloc/image-refresh
  pullPolicy: IfNotPresent
serviceAccount:
  create: true
rbac:
  create: true
  readPods: true
podSecurityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  readOnlyRootFilesystem: true
resources:
  requests:
    cpu: 10m
    memory: 32Mi
  limits:
    memory: 128Mi
nodeSelector:
  kubernetes.io/os: linux
networkPolicy:
  dnsPorts: [53, 5353]
  apiServerPorts: [443, 6443]
prometheusRule:
  severity: warning
  suspendedFor: 1d
grafanaDashboard:
  labels:
    grafana_dashboard: "1"
admissionPolicy:
  validationActions: [Deny]
{{- end }}

{{/*
The values with those defaults filled in for what is missing, null or empty text, as JSON; without targets where enabled is false. A map that follows Kubernetes' own shape is taken whole or not at all, so
that `resources: {limits: null}` means what it says; the chart's own groups are filled in key by key.
*/}}
{{- define "image-refresh.values" -}}
{{- $values := .Values | toJson | fromJson }}
{{- range $key, $default := include "image-refresh.defaults" . | fromYaml }}
  {{- $given := index $values $key }}
  {{- if or (kindIs "invalid" $given) (eq (toString $given) "") }}
    {{- $_ := set $values $key $default }}
  {{- else if has $key (list "admissionPolicy" "grafanaDashboard" "heartbeat" "image" "networkPolicy" "notify" "prometheusRule" "proxy" "rbac" "serviceAccount") }}
    {{- range $inner, $innerDefault := $default }}
      {{- if or (kindIs "invalid" (index $given $inner)) (eq (toString (index $given $inner)) "") }}
        {{- $_ := set $given $inner $innerDefault }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if eq (toString $values.enabled) "false" }}
  {{- $_ := set $values "targets" list }}
{{- end }}
{{- toJson $values }}
{{- end }}

{{/*
A value with every string in it rendered as a template and every null left out, as JSON.
Call with (dict "value" VALUE "context" $).
*/}}
{{- define "image-refresh.render" -}}
{{- $context := .context }}
{{- if kindIs "map" .value }}
  {{- $rendered := list }}
  {{- range $key, $value := .value }}
    {{- if not (kindIs "invalid" $value) }}
      {{- $rendered = append $rendered (printf "%s:%s" (toJson $key) (include "image-refresh.render" (dict "value" $value "context" $context))) }}
    {{- end }}
  {{- end }}
  {{- printf "{%s}" (join "," $rendered) }}
{{- else if kindIs "slice" .value }}
  {{- $rendered := list }}
  {{- range .value }}
    {{- $rendered = append $rendered (include "image-refresh.render" (dict "value" . "context" $context)) }}
  {{- end }}
  {{- printf "[%s]" (join "," $rendered) }}
{{- else if kindIs "string" .value }}
  {{- tpl .value .context | toJson }}
{{- else }}
  {{- toJson .value }}
{{- end }}
{{- end }}

{{/* Targets, keys, window, registries and pull secrets as one JSON object, all strings rendered. */}}
{{- define "image-refresh.config" -}}
{{- $_ := set .Values "global" (default dict .Values.global) }}{{/* else a name that is misspelt there ends in a nil pointer, and not in a sentence */}}
{{- $values := include "image-refresh.values" . | fromJson }}
{{- $given := dict "targets" (default list $values.targets) "registries" (default list $values.registries) "pullSecrets" (default list $values.pullSecrets) "verify" (default dict $values.verify) "window" $values.window }}
{{- include "image-refresh.render" (dict "value" $given "context" .) }}
{{- end }}

{{/* The values that the program reads from its environment, as a JSON list. */}}
{{- define "image-refresh.variables" -}}
{{- toJson (list "annotationPrefix" "resolveFailureThreshold" "rolloutFailureThreshold" "unsettledThreshold" "contestedThreshold" "rolloutTimeout" "rollback" "maxRollouts" "resolveTimeout" "concurrency" "clusterName" "runbookURL" "logLevel" "logFormat") }}
{{- end }}
