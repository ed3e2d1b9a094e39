{{- /* Call with (list $ REPOSITORY DIGEST): an image by tag, or by a digest without one, and its pull policy. */ -}}
{{- define "client.image" -}}
{{- $root := first . -}}
{{- $registry := $root.Values.global.imageRegistry | default "docker.io" -}}
{{- $reference := printf ":%s" $root.Values.env.CLIENT_ENV -}}
{{- if index . 2 }}{{ $reference = printf "@%s" (index . 2) }}{{ end -}}
image: {{ $registry }}/tracebloc/{{ index . 1 }}{{ $reference }}
imagePullPolicy: {{ if or (index . 2) (and $root.Values.imageRefresh.enabled (eq $registry "docker.io")) }}IfNotPresent{{ else }}Always{{ end }}
{{- end }}
{{- define "client.labels" -}}
{app.kubernetes.io/name: client, app.kubernetes.io/instance: {{ .Release.Name }}, app.kubernetes.io/managed-by: {{ .Release.Service }}}
{{- end }}
