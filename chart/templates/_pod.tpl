{{/*
The pod that runs the program, with a command of it. The scheduled tick and the check of `helm test` run in the same pod: what
the second finds is then true of the first. Call with (dict "context" $ "args" ARGUMENTS).
*/}}
{{- define "image-refresh.pod" -}}
{{- $context := .context }}
{{- $values := include "image-refresh.values" $context | fromJson -}}
restartPolicy: Never
serviceAccountName: {{ include "image-refresh.serviceAccountName" $context }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: image-refresh
    image: {{ $values.image.repository }}:{{ default $context.Chart.AppVersion $values.image.tag }}{{ with $values.image.digest }}@{{ . }}{{ end }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args: {{ toJson .args }}
    env:
      - name: POD_NAMESPACE
        valueFrom:
          fieldRef:
            fieldPath: metadata.namespace
      {{- range include "image-refresh.variables" $context | fromJsonArray }}
      - name: {{ snakecase . | upper }}
        value: {{ include "image-refresh.text" (index $values .) | quote }}
      {{- end }}
      {{- /* Helm reads YAML 1.1, where a key "on" without quotes is true. */}}
      - name: NOTIFY_ON
        value: {{ coalesce (get $values.notify "on") (get $values.notify "true") "problems" }}
      {{- range $name, $from := dict "NOTIFY_URLS" $values.notify "HEARTBEAT_URL" $values.heartbeat }}
      {{- with $from.secretName }}
      - name: {{ $name }}
        valueFrom:
          secretKeyRef:
            name: {{ . }}
            key: {{ $from.key }}
            # Missing, it must not keep the pod from starting: nobody is told then, and images are kept fresh all the same.
            optional: true
      {{- end }}
      {{- end }}
      {{- with $values.proxy.http }}
      - name: HTTP_PROXY
        value: {{ . | quote }}
      {{- end }}
      {{- with $values.proxy.https }}
      - name: HTTPS_PROXY
        value: {{ . | quote }}
      {{- end }}
      {{- if or $values.proxy.http $values.proxy.https $values.proxy.noProxy }}
      # The API server is not reached through the proxy. The kubelet fills its address in.
      - name: NO_PROXY
        value: {{ join "," (compact (list "$(KUBERNETES_SERVICE_HOST)" $values.proxy.noProxy)) | quote }}
      {{- end }}
      {{- with $values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $values.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    # A tick writes its own message. One that could not, because it crashed or ran out of memory, leaves its log's end.
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts:
      - name: config
        mountPath: /etc/image-refresh
        readOnly: true
volumes:
  - name: config
    projected:
      sources:
        - configMap:
            name: {{ include "image-refresh.fullname" $context }}
        {{- range (include "image-refresh.config" $context | fromJson).pullSecrets }}
        {{- $path := printf "pull-secrets/%s/%s" (default $context.Release.Namespace .namespace) .name }}
        - secret:
            name: {{ default .name .secretName }}
            # Missing, it must not keep the pod from starting: the tick names it.
            optional: true
            items:
              - key: .dockerconfigjson
                path: {{ $path }}/.dockerconfigjson
              - key: .dockercfg
                path: {{ $path }}/.dockercfg
        {{- end }}
        {{- range $folder, $files := dict "ca" $values.caCertificates "keys" $values.publicKeys }}
        {{- range $files }}
        - {{ ternary "configMap" "secret" (not (empty .configMap)) }}:
            name: {{ default .secret .configMap }}
            optional: true
            items:
              - key: {{ .key }}
                path: {{ $folder }}/{{ default .key .file }}
        {{- end }}
        {{- end }}
{{- end }}
