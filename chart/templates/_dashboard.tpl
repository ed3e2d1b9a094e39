{{/*
The dashboard as YAML; the template makes JSON of it. It shows every release whose CronJob has image-refresh in its name, and this
one whatever its name is. Grafana keeps no two dashboards with one uid, so the uid is the release's own: where several releases
install the dashboard, each has one, and all of them show the same.
*/}}
{{- define "image-refresh.dashboard" -}}
{{- $name := printf "%s/%s" .Release.Namespace (include "image-refresh.fullname" .) }}
{{- $ours := printf ".*image-refresh.*|%s" (include "image-refresh.fullname" . | regexQuoteMeta) }}
{{- $runbook := include "image-refresh.runbook" . }}
{{- $scope := dict "namespace" "=~\"$namespace\"" "cronjob" "=~\"$cronjob\"" }}
{{- $since := printf "time() - %s" (include "image-refresh.query.succeededOrCreated" $scope) }}
{{- $intervals := printf "(%s)\n/ on (namespace, cronjob) %s" $since (include "image-refresh.query.interval" $scope) }}
{{- $release := "{{namespace}}/{{cronjob}}" -}}
uid: image-refresh-{{ sha256sum $name | trunc 12 }}
title: image-refresh {{ $name }}
tags: [image-refresh]
schemaVersion: 39
editable: false
refresh: 1m
time: {from: now-24h, to: now}
links:
  - {type: link, title: Runbook, url: {{ $runbook | quote }}, targetBlank: true}
templating:
  list:
    - {name: datasource, label: Data source, type: datasource, query: prometheus}
    {{- range list
      (list "namespace" "Namespace" (printf "label_values(kube_cronjob_info{cronjob=~%q}, namespace)" $ours))
      (list "cronjob" "CronJob" (printf "label_values(kube_cronjob_info{namespace=~\"$namespace\", cronjob=~%q}, cronjob)" $ours)) }}
    - name: {{ index . 0 }}
      label: {{ index . 1 }}
      type: query
      datasource: {type: prometheus, uid: "${datasource}"}
      definition: {{ index . 2 | quote }}
      query: {qryType: 1, query: {{ index . 2 | quote }}, refId: PrometheusVariableQueryEditor-VariableQuery}
      refresh: 2
      sort: 1
      multi: true
      includeAll: true
      current: {text: [All], value: [$__all]}
    {{- end }}
panels:
  {{- $now := list
    (dict "title" "Since the last success" "unit" "s" "section" "alert-stale" "query" $since
      "description" "Where no tick has succeeded yet: since the installation.")
    (dict "title" "The same, in intervals of the schedule" "unit" "none" "decimals" 1 "section" "alert-stale" "query" $intervals "yellow" 2.0 "red" 3.0
      "description" "Above three, ImageRefreshStale fires, or ImageRefreshNeverSucceeded.")
    (dict "title" "Failed, and not succeeded since" "unit" "dateTimeFromNow" "section" "alert-failed" "query" (printf "1000 * (%s)" (include "image-refresh.query.failing" $scope)) "red" 1.0
      "description" "When the newest tick that failed began. ImageRefreshFailed fires meanwhile.")
    (dict "title" "Suspended" "unit" "bool_yes_no" "section" "alert-suspended" "query" (include "image-refresh.query.suspended" $scope) "yellow" 1.0
      "description" "Nothing is kept fresh meanwhile. ImageRefreshSuspended fires once it has lasted.") }}
  {{- range $i, $panel := $now }}
  - id: {{ add1 $i }}
    type: stat
    title: {{ quote $panel.title }}
    description: {{ quote $panel.description }}
    links:
      - {title: What to do, url: {{ printf "%s#%s" $runbook $panel.section | quote }}, targetBlank: true}
    datasource: &source {type: prometheus, uid: "${datasource}"}
    gridPos: {x: {{ mul 6 $i }}, "y": 0, w: 6, h: 6}
    fieldConfig:
      defaults:
        unit: {{ $panel.unit }}
        decimals: {{ default 0 $panel.decimals }}
        noValue: none
        thresholds:
          mode: absolute
          steps:
            - {color: {{ if or $panel.yellow $panel.red }}green{{ else }}text{{ end }}, value: null}
            {{- range $color := list "yellow" "red" }}
            {{- with index $panel $color }}
            - {color: {{ $color }}, value: {{ . }}}
            {{- end }}
            {{- end }}
      overrides: []
    options: {colorMode: value, graphMode: none, reduceOptions: {calcs: [lastNotNull]}}
    targets:
      - {refId: A, instant: true, legendFormat: {{ $release | quote }}, expr: {{ $panel.query | quote }}}
  {{- end }}
  - id: 5
    type: timeseries
    title: Intervals of the schedule since the last success
    description: Above the line, at three, ImageRefreshStale fires.
    datasource: *source
    gridPos: {x: 0, "y": 6, w: 24, h: 8}
    fieldConfig:
      defaults:
        min: 0
        decimals: 1
        custom: {thresholdsStyle: {mode: line}}
        thresholds: {mode: absolute, steps: [{color: green, value: null}, {color: red, value: 3}]}
      overrides: []
    targets:
      - {refId: A, legendFormat: {{ $release | quote }}, expr: {{ $intervals | quote }}}
  - id: 6
    type: timeseries
    title: How long ticks took
    description: Those that succeeded, as long as their Jobs are kept.
    datasource: *source
    gridPos: {x: 0, "y": 14, w: 12, h: 8}
    fieldConfig: {defaults: {unit: s, min: 0, custom: {drawStyle: points}}, overrides: []}
    targets:
      - refId: A
        legendFormat: "{{ `{{namespace}}/{{job_name}}` }}"
        expr: {{ printf "%s\n- on (namespace, job_name) max by (namespace, job_name) (kube_job_status_start_time{namespace=~\"$namespace\"})" (include "image-refresh.query.jobs" (list $scope "kube_job_status_completion_time" "")) | quote }}
  - id: 7
    type: timeseries
    title: Failed Jobs that are kept
    datasource: *source
    gridPos: {x: 12, "y": 14, w: 12, h: 8}
    fieldConfig: {defaults: {unit: bool_yes_no, min: 0, max: 1, custom: {drawStyle: points}}, overrides: []}
    targets:
      - refId: A
        legendFormat: "{{ `{{namespace}}/{{job_name}}` }}"
        expr: {{ include "image-refresh.query.jobs" (list $scope "kube_job_failed" ", condition=\"true\"") | quote }}
  - id: 8
    type: table
    title: What is not fresh
    description: >-
      Workloads by the label that ticks write, in all namespaces. Empty, too, where kube-state-metrics does not show that label:
      docs/runbook.md says how it does.
    datasource: *source
    gridPos: {x: 0, "y": 22, w: 24, h: 8}
    fieldConfig: {defaults: {}, overrides: []}
    transformations:
      - id: organize
        options: {excludeByName: {Time: true, Value: true}, indexByName: {state: 0, namespace: 1, kind: 2, name: 3}}
    targets:
      - refId: A
        instant: true
        format: table
        expr: {{ include "image-refresh.query.workloads" (list . ".*" "failing|rejected|waiting|held") | quote }}
{{- end }}
