{{/* The name of all objects. A CronJob's may have 52 characters: its Jobs add 11. */}}
{{- define "image-refresh.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := printf "%s-%s" .Release.Name $name }}
{{- if contains $name .Release.Name }}
  {{- $full = .Release.Name }}
{{- end }}
{{- default $full .Values.fullnameOverride | trunc 52 | trimSuffix "-" | trimSuffix "." }}
{{- end }}

{{/*
The labels that all pods of this release have, and no others. The component is the same under any alias and name: what looks for
this program in a cluster selects by it.
*/}}
{{- define "image-refresh.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: image-refresh
{{- end }}

{{/*
Labels, and annotations where there are any. Our own labels win, and of the given maps the last one does.
Call with (dict "context" $ "labels" (list MAP...) "annotations" (list MAP...)).
*/}}
{{- define "image-refresh.metadata" -}}
{{- $labels := dict }}
{{- range .labels }}
  {{- $labels = mergeOverwrite $labels (default dict .) }}
{{- end }}
{{- $annotations := dict }}
{{- range .annotations }}
  {{- $annotations = mergeOverwrite $annotations (default dict .) }}
{{- end }}
{{- $ours := merge (include "image-refresh.selector" .context | fromYaml) (dict
  "app.kubernetes.io/version" (.context.Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/managed-by" .context.Release.Service
  "helm.sh/chart" (printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")) -}}
labels:
  {{- toYaml (mergeOverwrite $labels $ours) | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "image-refresh.serviceAccountName" -}}
{{- $account := (include "image-refresh.values" . | fromJson).serviceAccount }}
{{- default (include "image-refresh.fullname" .) $account.name }}
{{- end }}

{{/* A scalar as the text of an environment variable. Helm reads numbers as floats, and would print 1000000 as 1e+06. */}}
{{- define "image-refresh.text" -}}
{{- if kindIs "string" . }}
  {{- . }}
{{- else }}
  {{- toJson . }}
{{- end }}
{{- end }}

{{/* A Go duration in seconds, rounded up. */}}
{{- define "image-refresh.seconds" -}}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "μs" 0.000001 "ns" 0.000000001 }}
{{- $seconds := 0.0 }}
{{- range regexFindAll "[0-9.]+(h|ms|m|s|us|µs|μs|ns)" . -1 }}
  {{- $unit := regexFind "[^0-9.]+" . }}
  {{- $seconds = addf $seconds (mulf (float64 (trimSuffix $unit .)) (get $units $unit)) }}
{{- end }}
{{- ceil $seconds | int64 }}
{{- end }}

{{/* The Job's deadline: above the time within which a tick ends by itself, with room to schedule the pod and pull its image. */}}
{{- define "image-refresh.activeDeadlineSeconds" -}}
{{- $values := include "image-refresh.values" . | fromJson }}
{{- $bound := include "image-refresh.seconds" $values.rolloutTimeout | int64 | mul 2 | add 300 }}
{{- if kindIs "invalid" $values.activeDeadlineSeconds }}
  {{- add $bound 300 }}
{{- else }}
  {{- if le (int64 $values.activeDeadlineSeconds) $bound }}
    {{- include "image-refresh.refuse" (list "activeDeadlineSeconds" $values.activeDeadlineSeconds (printf "must be more than %d: a tick may take 2 x rolloutTimeout (%s) + 5 minutes; or leave it out" $bound $values.rolloutTimeout)) }}
  {{- end }}
  {{- int64 $values.activeDeadlineSeconds }}
{{- end }}
{{- end }}

{{/* The workloads of all targets as JSON: namespace, then kind, then names. It is what RBAC and NOTES.txt name. */}}
{{- define "image-refresh.workloads" -}}
{{- $namespace := .Release.Namespace }}
{{- $workloads := dict }}
{{- range (include "image-refresh.config" . | fromJson).targets }}
  {{- range .workloads }}
    {{- $in := default $namespace .namespace }}
    {{- $kinds := default dict (index $workloads $in) }}
    {{- $_ := set $kinds .kind (append (default list (index $kinds .kind)) .name | uniq | sortAlpha) }}
    {{- $_ := set $workloads $in $kinds }}
  {{- end }}
{{- end }}
{{- toJson $workloads }}
{{- end }}

{{/* The name of Role and RoleBinding in a namespace. Another release's may be there too. Call with (list $ NAMESPACE). */}}
{{- define "image-refresh.roleName" -}}
{{- $context := first . }}
{{- include "image-refresh.fullname" $context }}
{{- if ne (last .) $context.Release.Namespace }}
  {{- printf "-%s" $context.Release.Namespace }}
{{- end }}
{{- end }}
