{{/*
What alerts and dashboard ask, all of it of series that kube-state-metrics calls stable. Each is one value for each CronJob in scope,
with the labels namespace and cronjob, however many copies of kube-state-metrics there are. A scope is a dict of two matchers, as
PromQL has them after a label's name: "namespace" and "cronjob". Call with a scope.
*/}}

{{/* This release's own scope as JSON: what the alerts ask about. Call with $. */}}
{{- define "image-refresh.query.own" -}}
{{- dict "namespace" (printf "=%q" .Release.Namespace) "cronjob" (printf "=%q" (include "image-refresh.fullname" .)) | toJson }}
{{- end }}

{{- define "image-refresh.query.cronjob" -}}
namespace{{ .namespace }}, cronjob{{ .cronjob }}
{{- end }}

{{- define "image-refresh.query.created" -}}
max by (namespace, cronjob) (kube_cronjob_created{ {{- include "image-refresh.query.cronjob" . -}} })
{{- end }}

{{- define "image-refresh.query.scheduled" -}}
max by (namespace, cronjob) (kube_cronjob_status_last_schedule_time{ {{- include "image-refresh.query.cronjob" . -}} })
{{- end }}

{{- define "image-refresh.query.next" -}}
max by (namespace, cronjob) (kube_cronjob_next_schedule_time{ {{- include "image-refresh.query.cronjob" . -}} })
{{- end }}

{{- define "image-refresh.query.succeeded" -}}
max by (namespace, cronjob) (kube_cronjob_status_last_successful_time{ {{- include "image-refresh.query.cronjob" . -}} })
{{- end }}

{{/* The last success or, where there was none, the installation. */}}
{{- define "image-refresh.query.succeededOrCreated" -}}
({{ include "image-refresh.query.succeeded" . }}
or {{ include "image-refresh.query.created" . }})
{{- end }}

{{- define "image-refresh.query.suspended" -}}
max by (namespace, cronjob) (kube_cronjob_spec_suspend{ {{- include "image-refresh.query.cronjob" . -}} })
{{- end }}

{{/* Whether it was suspended in the last hour: one that was just resumed needs time for its next tick. */}}
{{- define "image-refresh.query.paused" -}}
max by (namespace, cronjob) (max_over_time(kube_cronjob_spec_suspend{ {{- include "image-refresh.query.cronjob" . -}} }[1h])) == 1
{{- end }}

{{/* The longest time between two ticks of the last day, as the schedule has it: a schedule may pause at night. */}}
{{- define "image-refresh.query.interval" -}}
max_over_time((
  {{ include "image-refresh.query.next" . }}
  - ({{ include "image-refresh.query.scheduled" . }}
  or {{ include "image-refresh.query.created" . }})
)[1d:5m])
{{- end }}

{{/* A series of each Job of the CronJobs, with the labels cronjob and job_name. Call with (list SCOPE SERIES SELECTORS). */}}
{{- define "image-refresh.query.jobs" -}}
{{- $scope := index . 0 -}}
label_replace(
  max by (namespace, job_name) ({{ index . 1 }}{namespace{{ $scope.namespace }}{{ index . 2 }}})
  * on (namespace, job_name) group_left (owner_name)
  max by (namespace, job_name, owner_name) (kube_job_owner{namespace{{ $scope.namespace }}, owner_kind="CronJob", owner_name{{ $scope.cronjob }}}),
  "cronjob", "$1", "owner_name", "(.*)")
{{- end }}

{{/* When the newest of the failed ticks started. */}}
{{- define "image-refresh.query.failed" -}}
max by (namespace, cronjob) (
  {{ include "image-refresh.query.jobs" (list . "kube_job_status_start_time" "") | nindent 2 | trim }}
  and on (namespace, job_name) kube_job_failed{namespace{{ .namespace }}, condition="true"} == 1)
{{- end }}

{{/* That failed tick, where no later one has succeeded. */}}
{{- define "image-refresh.query.failing" -}}
{{ include "image-refresh.query.failed" . }}
> on (namespace, cronjob)
{{ include "image-refresh.query.succeededOrCreated" . }}
{{- end }}

{{/*
Workloads by what the label PREFIX/refresh says of them, with the labels namespace, kind, name and state. There are such series where
kube-state-metrics is started with --metric-labels-allowlist for that label. Call with (list $ NAMESPACES STATES), each a pattern.
*/}}
{{- define "image-refresh.query.workloads" -}}
{{- $label := printf "label_%s_refresh" (regexReplaceAll "[^a-z0-9]" (include "image-refresh.values" (first .) | fromJson).annotationPrefix "_") }}
{{- $namespaces := index . 1 }}
{{- $states := index . 2 }}
{{- $each := list }}
{{- range list "Deployment" "StatefulSet" "DaemonSet" "CronJob" }}
  {{- $series := printf "kube_%s_labels{namespace=~%q, %s=~%q}" (lower .) $namespaces $label $states }}
  {{- $each = append $each (printf "label_replace(label_replace(%s, \"name\", \"$1\", %q, \"(.+)\"), \"kind\", %q, \"\", \"\")" $series (lower .) .) }}
{{- end -}}
max by (namespace, kind, name, state) (label_replace({{ join " or " $each }}, "state", "$1", {{ quote $label }}, "(.+)"))
{{- end }}

{{/* The address of the runbook: the release's, where the program is of one. Call with $. */}}
{{- define "image-refresh.runbook" -}}
{{- $at := regexMatch "^[0-9]+\\.[0-9]+\\.[0-9]+$" .Chart.AppVersion | ternary (printf "v%s" .Chart.AppVersion) "main" }}
{{- default (printf "https://github.com/tracebloc/image-refresh/blob/%s/docs/runbook.md" $at) (include "image-refresh.values" . | fromJson).runbookURL }}
{{- end }}
