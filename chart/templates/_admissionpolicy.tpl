{{/*
The slots of each workload, by "resource/namespace/name", as JSON, which is CEL as well, each with the target that stems its keys. An image slot has the pattern of its
repository, however it is spelled, and the tag that it follows; both are empty where the container's own reference is followed.
A slot in a variable has the pattern of its value.
*/}}
{{- define "image-refresh.slots" -}}
{{- $namespace := .Release.Namespace }}
{{- $slots := dict }}
{{- range $target := (include "image-refresh.config" . | fromJson).targets }}
  {{- range .workloads }}
    {{- $workload := printf "%ss/%s/%s" (lower .kind) (default $namespace .namespace) .name }}
    {{- $slot := dict "target" $target.name "container" (default "" .container) "env" (default "" .env) "repository" "" "tag" "" "value" "" }}
    {{- with $target.image }}
      {{- $_ := set $slot "repository" (printf "^%s(:[^/:]*)?(@.*)?$" (include "image-refresh.repositoryPattern" .)) }}
      {{- $_ := set $slot "tag" (regexFind ":[^/:]*$" . | trimPrefix ":" | default "latest") }}
    {{- end }}
    {{- if .env }}
      {{- $digest := "sha256:[0-9a-f]{64}" }}
      {{- if eq (default "digest" .envValue) "reference" }}
        {{- $digest = printf "%s@%s" (regexReplaceAll ":[^/:]*$" $target.image "" | regexQuoteMeta) $digest }}
      {{- end }}
      {{- $_ := set $slot "value" (printf "^%s$" $digest) }}
    {{- end }}
    {{- $_ := set $slots $workload (append (default list (get $slots $workload)) $slot) }}
  {{- end }}
{{- end }}
{{- toJson $slots }}
{{- end }}

{{/* A pattern for each spelling of an image's repository: docker.io and library/ may be left out. */}}
{{- define "image-refresh.repositoryPattern" -}}
{{- $name := regexReplaceAll ":[^/:]*$" . "" }}
{{- $hub := regexReplaceAll "^(index\\.)?docker\\.io/" $name "" }}
{{- if and (eq $hub $name) (regexMatch "^([^/]*[.:][^/]*|localhost)/" $name) }}
  {{- regexQuoteMeta $name }}
{{- else }}
  {{- $official := regexReplaceAll "^library/" $hub "" }}
  {{- printf "((index\\.)?docker\\.io/)?%s%s" (ternary "" "(library/)?" (contains "/" $official)) (regexQuoteMeta $official) }}
{{- end }}
{{- end }}

{{/* CEL: two maps are the same but for some keys. Call with (list NEW OLD KEYS), as CEL. */}}
{{- define "image-refresh.cel.same" -}}
{{- $new := index . 0 }}
{{- $old := index . 1 }}
{{- $but := index . 2 -}}
{{ $new }}.all(k, k in {{ $but }} || k in {{ $old }} && {{ $new }}[k] == {{ $old }}[k]) && {{ $old }}.all(k, k in {{ $but }} || k in {{ $new }})
{{- end }}

{{/*
CEL: labels or annotations are the same but for those that a tick writes here: those of the workload's own targets, and those of the
workload as a whole. A target none of whose workloads is there keeps its counters and its state on another's. The hold is a
person's, and so are the labels that approve and skip, which a tick removes once it has heeded them. Call with (list $ FIELD).
*/}}
{{- define "image-refresh.cel.ours" -}}
{{- $prefix := (include "image-refresh.values" (first .) | fromJson).annotationPrefix }}
{{- $ours := printf "k == %s" (printf "%s/refresh" $prefix | toJson) }}
{{- $keys := list "%s/%%s-digest" }}
{{- $heeded := printf " || k in %s" (list (printf "%s/refresh-approve" $prefix) (printf "%s/refresh-skip" $prefix) | toJson) }}
{{- if eq (last .) "annotations" }}
  {{- $heeded = "" }}
  {{- /* The API server itself counts a DaemonSet's templates there. */}}
  {{- $ours = printf "k in %s" (list (printf "%s/refresh-skip-streak" $prefix) "deprecated.daemonset.template.generation" | toJson) }}
  {{- $keys = list "%s/last-refreshed-%%s-digest" "%s/last-refreshed-%%s-build" }}
  {{- $names := list }}
  {{- range (include "image-refresh.config" (first .) | fromJson).targets }}
    {{- $names = append $names .name }}
  {{- end }}
  {{- $kept := list "-refresh-consecutive-failures" "-refresh-last-error" "-refresh-state" "-refresh-failing-since" }}
  {{- $ours = printf "%s || k.startsWith(%s) && k.lastIndexOf(\"-refresh-\") > %d && k.substring(k.lastIndexOf(\"-refresh-\")) in %s && k.substring(%d, k.lastIndexOf(\"-refresh-\")) in %s" $ours (printf "%s/" $prefix | toJson) (len $prefix) (toJson $kept) (add1 (len $prefix)) (toJson $names) }}
{{- end }}
{{- range $keys }}
  {{- $ours = printf "%s || variables.slots.exists(s, k == %s.format([s.target]))" $ours (printf . $prefix | toJson) }}
{{- end }}
{{- $new := printf "variables.new.metadata.?%s.orValue({})" (last .) }}
{{- $old := printf "variables.old.metadata.?%s.orValue({})" (last .) -}}
{{ $new }}.all(k, k in {{ $old }} && {{ $new }}[k] == {{ $old }}[k] || {{ $ours }}) && {{ $old }}.all(k, k in {{ $new }} || {{ $ours }}{{ $heeded }})
{{- end }}
