{{/* One rule of egress, to peers and ports. No peer is any peer, and no port none. Call with (list PEERS PORTS PROTOCOLS). */}}
{{- define "image-refresh.egress" -}}
{{- $peers := index . 0 }}
{{- $ports := index . 1 }}
{{- $protocols := index . 2 }}
{{- if $ports }}
- ports:
    {{- range $port := $ports }}
    {{- range $protocols }}
    - {protocol: {{ . }}, port: {{ int64 $port }}}
    {{- end }}
    {{- end }}
  {{- with $peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
The TCP ports of all that the configuration names, as a JSON list: registries, mirrors, the hosts of images, and the proxy. 443 is
always among them, since Docker Hub and a registry's token endpoint are there whatever a reference says.
*/}}
{{- define "image-refresh.registryPorts" -}}
{{- $values := include "image-refresh.values" . | fromJson }}
{{- $config := include "image-refresh.config" . | fromJson }}
{{- $ports := list 443 }}
{{- $named := list }}
{{- range $config.targets }}
  {{- with .image }}
    {{- if contains "/" . }}
      {{- $named = append $named (printf "%s/" (splitList "/" . | first)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $config.registries }}
  {{- $named = append $named (printf "%s/" .host) }}
  {{- if and .plainHTTP (not (regexMatch ":[0-9]+$" .host)) }}
    {{- $ports = append $ports 80 }}
  {{- end }}
  {{- range .mirrors }}
    {{- $named = append $named (printf "%s/" .) }}
  {{- end }}
{{- end }}
{{- range list $values.proxy.http $values.proxy.https }}
  {{- with . }}
    {{- $host := regexReplaceAll "^[a-zA-Z0-9]+://" . "" | printf "%s/" }}
    {{- $named = append $named $host }}
    {{- if and (hasPrefix "http://" .) (not (regexMatch ":[0-9]+/" $host)) }}
      {{- $ports = append $ports 80 }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $named }}
  {{- with regexFind ":[0-9]+/" . }}
    {{- $ports = append $ports (trimAll ":/" . | int64) }}
  {{- end }}
{{- end }}
{{- toJson ($ports | uniq) }}
{{- end }}

{{/* Says something where a registry or a mirror that the configuration names is a cloud's, by the names that docs/clouds.md lists. */}}
{{- define "image-refresh.cloud" -}}
{{- $values := include "image-refresh.values" . | fromJson }}
{{- $config := include "image-refresh.config" . | fromJson }}
{{- $hosts := list }}
{{- range $config.targets }}
  {{- $hosts = append $hosts (splitList "/" (default "" .image) | first) }}
{{- end }}
{{- range $config.registries }}
  {{- range .mirrors }}
    {{- $hosts = append $hosts (splitList "/" . | first) }}
  {{- end }}
{{- end }}
{{- if ne (toString $values.cloudIdentity) "false" }}
  {{- range $hosts }}
    {{- if regexMatch "^([0-9]{12}\\.dkr[.-]ecr(-fips)?\\..+|public\\.ecr\\.aws|ecr-public\\.aws\\.com|([^.]+\\.)?gcr\\.io|[^.]+\\.pkg\\.dev|[^.]+\\.azurecr\\.(io|cn|us))$" . }}true{{ end }}
  {{- end }}
{{- end }}
{{- end }}
