{{/* The dashboard as YAML; the template makes JSON of it. Its uid is the release's own, so that several may be there. */}}
{{- define "image-refresh.dashboard" -}}
{{- $name := printf "%s/%s" .Release.Namespace (include "image-refresh.fullname" .) -}}
uid: image-refresh-{{ sha256sum $name | trunc 12 }}
title: image-refresh {{ $name }}
tags: [image-refresh]
schemaVersion: 39
editable: false
refresh: 1m
time: {from: now-24h, to: now}
templating:
  list:
    - {name: datasource, label: Data source, type: datasource, query: prometheus}
panels:
  {{- $now := list
    (dict "title" "Since the last success" "unit" "s" "query" (printf "time() - %s" (include "image-refresh.query.succeeded" .)))
    (dict "title" "Until the next tick" "unit" "s" "query" (printf "%s - time()" (include "image-refresh.query.next" .)))
    (dict "title" "Failed, and not succeeded since" "unit" "dateTimeFromNow" "query" (printf "1000 * (%s)" (include "image-refresh.query.failing" .)))
    (dict "title" "Suspended" "unit" "bool_yes_no" "query" (include "image-refresh.query.suspended" .)) }}
  {{- range $i, $panel := $now }}
  - id: {{ add1 $i }}
    type: stat
    title: {{ $panel.title }}
    datasource: &source {type: prometheus, uid: "${datasource}"}
    gridPos: {x: {{ mul 6 $i }}, "y": 0, w: 6, h: 4}
    fieldConfig: {defaults: {unit: {{ $panel.unit }}, noValue: "none"}, overrides: []}
    options: {colorMode: none, reduceOptions: {calcs: [lastNotNull]}}
    targets:
      - {refId: A, instant: true, expr: {{ $panel.query | quote }}}
  {{- end }}
  - id: 5
    type: timeseries
    title: Time since the last success
    description: Above the second line, three intervals of the schedule, ImageRefreshStale fires.
    datasource: *source
    gridPos: {x: 0, "y": 4, w: 24, h: 8}
    fieldConfig: {defaults: {unit: s, min: 0}, overrides: []}
    targets:
      - {refId: A, legendFormat: since the last success, expr: {{ printf "time() - %s" (include "image-refresh.query.succeeded" .) | quote }}}
      - {refId: B, legendFormat: three intervals, expr: {{ printf "3 * %s" (include "image-refresh.query.interval" .) | quote }}}
  - id: 6
    type: timeseries
    title: How long ticks took
    description: Those that succeeded, as long as their Jobs are kept.
    datasource: *source
    gridPos: {x: 0, "y": 12, w: 12, h: 8}
    fieldConfig: {defaults: {unit: s, min: 0, custom: {drawStyle: points}}, overrides: []}
    targets:
      - refId: A
        legendFormat: "{{ `{{job_name}}` }}"
        expr: {{ printf "(%s) - on (namespace, job_name) max by (namespace, job_name) (kube_job_status_start_time{namespace=%q})" (include "image-refresh.query.jobs" (list . "kube_job_status_completion_time" "")) .Release.Namespace | quote }}
  - id: 7
    type: timeseries
    title: Failed Jobs that are kept
    datasource: *source
    gridPos: {x: 12, "y": 12, w: 12, h: 8}
    fieldConfig: {defaults: {unit: bool_yes_no, min: 0, max: 1, custom: {drawStyle: points}}, overrides: []}
    targets:
      - refId: A
        legendFormat: "{{ `{{job_name}}` }}"
        expr: {{ include "image-refresh.query.jobs" (list . "kube_job_failed" ", condition=\"true\"") | quote }}
{{- end }}
