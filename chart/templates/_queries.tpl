{{/*
What alerts and dashboard ask, all of it of series that kube-state-metrics calls stable. Each is one value for this release's
CronJob, with the labels namespace and cronjob, however many copies of kube-state-metrics there are. Call with $.
*/}}
{{- define "image-refresh.query.cronjob" -}}
namespace={{ .Release.Namespace | quote }}, cronjob={{ include "image-refresh.fullname" . | quote }}
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

{{/* A series of each Job of the CronJob, with the label job_name. Call with (list $ SERIES SELECTORS). */}}
{{- define "image-refresh.query.jobs" -}}
{{- $context := index . 0 -}}
max by (namespace, job_name) ({{ index . 1 }}{namespace={{ $context.Release.Namespace | quote }}{{ index . 2 }}})
  and on (namespace, job_name) kube_job_owner{namespace={{ $context.Release.Namespace | quote }}, owner_kind="CronJob", owner_name={{ include "image-refresh.fullname" $context | quote }}}
{{- end }}

{{/* When the newest of the failed ticks started. */}}
{{- define "image-refresh.query.failed" -}}
max by (namespace, cronjob) (label_replace(
  {{ include "image-refresh.query.jobs" (list . "kube_job_status_start_time" "") | nindent 2 | trim }}
  and on (namespace, job_name) kube_job_failed{namespace={{ .Release.Namespace | quote }}, condition="true"} == 1,
  "cronjob", {{ include "image-refresh.fullname" . | quote }}, "", ""))
{{- end }}

{{/* That failed tick, where no later one has succeeded. */}}
{{- define "image-refresh.query.failing" -}}
{{ include "image-refresh.query.failed" . }}
> on (namespace, cronjob)
({{ include "image-refresh.query.succeeded" . }}
or {{ include "image-refresh.query.created" . }})
{{- end }}
