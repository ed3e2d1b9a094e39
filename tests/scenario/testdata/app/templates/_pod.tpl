{{- define "app.pod" -}}
metadata:
  labels: {app: {{ .name }}}
spec:
  restartPolicy: {{ .restart }}
  containers:
    - name: side
      image: registry.invalid/side:1
    - name: api
      image: {{ .image | quote }}
      env:
        - {name: NOTE, value: {{ .Values.note | quote }}}
        {{- if ne .Values.slots "absent" }}
        - {name: INGESTOR_IMAGE_DIGEST, value: {{ .digest | quote }}}
        {{- end }}
{{- end }}
