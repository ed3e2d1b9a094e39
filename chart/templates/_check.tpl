{{/* Fails on the first value that is wrong: with its key, what it is, and what would be right. Call with $. */}}
{{- define "image-refresh.check" -}}
{{- $given := include "image-refresh.values" . | fromJson }}
{{- if ne (toString $given.enabled) "false" }}
  {{- $config := include "image-refresh.config" . | fromJson }}
  {{- $rules := include "image-refresh.rules" . | fromYaml }}
  {{- include "image-refresh.judge" (dict "rules" $rules "rule" "values" "path" "" "value" (merge dict $config $given) "given" $given) }}
  {{- include "image-refresh.checkTargets" (list . $config) }}
  {{- include "image-refresh.checkKeys" (list $given $config) }}
  {{- include "image-refresh.checkWindow" (list "window" $config.window) }}
  {{- include "image-refresh.checkRegistries" (list $given $config) }}
  {{- include "image-refresh.checkPullSecrets" (list . $config) }}
  {{- include "image-refresh.checkOwn" (list . $given) }}
{{- end }}
{{- end }}

{{/* Call with (list PATH VALUE WHAT). */}}
{{- define "image-refresh.refuse" -}}
{{- fail (printf "%s: %s, %s" (index . 0) (include "image-refresh.is" (index . 1)) (index . 2)) }}
{{- end }}

{{/* What a value is, in a few words, without a login that it may hold. */}}
{{- define "image-refresh.is" -}}
{{- if or (kindIs "invalid" .) (eq (toString .) "") -}}
is empty
{{- else if kindIs "string" . -}}
is {{ regexReplaceAll "[^\\s/]*//[^/@]*@" . "redacted@" | trunc 200 | printf "%q" }}
{{- else -}}
is {{ toJson . }}
{{- end }}
{{- end }}

{{/*
Judges a value and all that it holds by a rule of image-refresh.rules. Call with (dict "rules" RULES "rule" RULE "path" PATH "value" VALUE
"given" VALUE), of which the last is the value before templates in it were rendered.
*/}}
{{- define "image-refresh.judge" -}}
{{- $call := . }}
{{- $name := "" }}
{{- $rule := .rule }}
{{- if kindIs "string" .rule }}
  {{- $name = trimSuffix "!" .rule }}
  {{- $rule = get .rules.shapes $name | default (get .rules.rules $name) }}
{{- end }}
{{- if kindIs "slice" $rule }}
  {{- range $i, $value := .value }}
    {{- include "image-refresh.judge" (dict "rules" $call.rules "rule" (first $rule) "path" (printf "%s[%d]" $call.path $i) "value" $value "given" (index $call.given $i)) }}
  {{- end }}
{{- else if hasKey .rules.rules $name }}
  {{- include "image-refresh.judgeText" (dict "rule" $rule "needed" (hasSuffix "!" .rule) "path" .path "value" .value "given" .given) }}
{{- else if and $rule .value }}
  {{- range $key, $value := .value }}
    {{- if not (hasKey $rule $key) }}
      {{- fail (printf "%s: is not known here: %s" (printf "%s.%s" $call.path $key | trimPrefix ".") (include "image-refresh.meant" (list $key $rule))) }}
    {{- end }}
  {{- end }}
  {{- range $key, $inner := $rule }}
    {{- if $inner }}
      {{- include "image-refresh.judge" (dict "rules" $call.rules "rule" $inner "path" (printf "%s.%s" $call.path $key | trimPrefix ".") "value" (index $call.value $key) "given" (index (default dict $call.given) $key)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Judges one scalar. Call with (dict "rule" RULE "needed" BOOL "path" PATH "value" VALUE "given" VALUE). */}}
{{- define "image-refresh.judgeText" -}}
{{- if or (kindIs "invalid" .value) (eq (toString .value) "") }}
  {{- if contains "{{" (toString .given) }}
    {{- fail (printf "%s: is empty when its template %q is rendered, %s: is a name in it misspelt?" .path .given .rule.says) }}
  {{- else if .needed }}
    {{- include "image-refresh.refuse" (list .path "" .rule.says) }}
  {{- end }}
{{- else }}
  {{- $text := include "image-refresh.text" .value }}
  {{- $matches := regexMatch .rule.pattern $text }}
  {{- if .rule.not }}
    {{- $matches = and $matches (not (regexMatch .rule.not $text)) }}
  {{- end }}
  {{- if or (not $matches) (gt (len $text) (int (default 1000 .rule.most))) }}
    {{- if and .rule.unquoted (gt (len $text) 32) }}
      {{- fail (printf "%s: is a text of %d characters, %s" .path (len $text) .rule.says) }}
    {{- end }}
    {{- $from := contains "{{" (toString .given) | ternary (printf "rendered from %q, " (toString .given)) "" }}
    {{- include "image-refresh.refuse" (list .path .value (printf "%s%s" $from .rule.says)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Which key may have been meant: the nearest, or else any. Call with (list KEY KEYS). */}}
{{- define "image-refresh.meant" -}}
{{- $key := first . }}
{{- $nearest := "" }}
{{- $least := div (len $key) 3 | add1 | int }}
{{- range $known, $_ := last . }}
  {{- $distance := include "image-refresh.distance" (list (lower $key) (lower $known)) | int }}
  {{- if lt $distance $least }}
    {{- $nearest = $known }}
    {{- $least = $distance }}
  {{- end }}
{{- end }}
{{- if $nearest -}}
did you mean {{ $nearest }}?
{{- else if hasKey (last .) "targets" -}}
`helm show values` lists the keys
{{- else -}}
the keys are {{ keys (omit (last .) "true") | sortAlpha | join ", " }}
{{- end }}
{{- end }}

{{/* How many letters must be added, removed or replaced to make one text of another (Levenshtein). Call with (list TEXT TEXT). */}}
{{- define "image-refresh.distance" -}}
{{- $from := first . }}
{{- $to := last . }}
{{- $row := until (add1 (len $to) | int) }}
{{- range $i := until (len $from) }}
  {{- $next := list (add1 $i) }}
  {{- range $j := until (len $to) }}
    {{- $replaced := add (index $row $j) (ternary 0 1 (eq (index $from $i) (index $to $j))) }}
    {{- $next = append $next (min $replaced (add1 (index $row (add1 $j))) (add1 (last $next))) }}
  {{- end }}
  {{- $row = $next }}
{{- end }}
{{- last $row }}
{{- end }}

{{/* What one key alone does not tell about targets. Call with (list $ CONFIG). */}}
{{- define "image-refresh.checkTargets" -}}
{{- $namespace := (first .).Release.Namespace }}
{{- $names := dict }}
{{- $slots := dict }}
{{- $meanings := dict }}
{{- range $i, $target := (last .).targets }}
  {{- $path := printf "targets[%d]" $i }}
  {{- if hasKey $names .name }}
    {{- include "image-refresh.refuse" (list (printf "%s.name" $path) .name (printf "the same as %s.name: give each target its own" (get $names .name))) }}
  {{- end }}
  {{- $_ := set $names .name $path }}
  {{- if contains "@" (default "" .image) }}
    {{- include "image-refresh.refuse" (list (printf "%s.image" $path) .image "must not carry a digest: it is the tag that is followed") }}
  {{- end }}
  {{- if and (eq (default "" .pin) "digest") (not .image) }}
    {{- include "image-refresh.refuse" (list (printf "%s.pin" $path) .pin "which needs an image in the target: after the first refresh nothing would name the tag to follow") }}
  {{- end }}
  {{- include "image-refresh.checkWindow" (list (printf "%s.window" $path) .window) }}
  {{- if not .workloads }}
    {{- fail (printf "%s.workloads: %s" $path "must name at least one workload that uses the image") }}
  {{- end }}
  {{- range $k, $workload := .workloads }}
    {{- $path := printf "%s.workloads[%d]" $path $k }}
    {{- if and .env (not $target.image) }}
      {{- include "image-refresh.refuse" (list (printf "targets[%d].image" $i) "" "must name the image to follow, as in ghcr.io/example/app:1.2: only image mode may leave it out") }}
    {{- end }}
    {{- range list "envValue" "whenEmpty" }}
      {{- if and (get $workload .) (not $workload.env) }}
        {{- include "image-refresh.refuse" (list (printf "%s.%s" $path .) (get $workload .) "which means nothing without env: name the variable, or leave it out") }}
      {{- end }}
    {{- end }}
    {{- $slot := list .kind (default $namespace .namespace) .name (default "" .container) (default "" .env) | toJson }}
    {{- if hasKey $slots $slot }}
      {{- $name := printf "%s %s%s%s" .kind .name (empty .container | ternary "" (printf ", container %s" .container)) (empty .env | ternary "" (printf ", variable %s" .env)) }}
      {{- fail (printf "%s: is %s, the same slot as %s: a slot follows one target, once" $path $name (get $slots $slot)) }}
    {{- end }}
    {{- $_ := set $slots $slot $path }}
    {{- if .helmValue }}
      {{- include "image-refresh.meaning" (list $meanings .helmValue (printf "%s %s" $target.name (default "digest" .envValue)) (printf "%s.helmValue" $path)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A window of less than an hour may fall between two ticks, or into an hour that clocks skip. Call with (list PATH WINDOW). */}}
{{- define "image-refresh.checkWindow" -}}
{{- with last . }}
  {{- $from := splitList ":" .from }}
  {{- $to := splitList ":" .to }}
  {{- $minutes := sub (add (mul 60 (first $to | atoi)) (last $to | atoi)) (add (mul 60 (first $from | atoi)) (last $from | atoi)) | int }}
  {{- if lt (mod (add $minutes 1440) 1440 | int) (eq $minutes 1440 | ternary 0 60) }}
    {{- fail (printf "%s: is %s to %s, must be an hour or longer; 00:00 to 24:00 is a whole day" (first $) .from .to) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Call with (list SEEN VALUE MEANING PATH): fails where the value has another meaning, or is within one that was seen or around it. */}}
{{- define "image-refresh.meaning" -}}
{{- $name := index . 1 }}
{{- $path := index . 3 }}
{{- range $other, $meaning := first . }}
  {{- if and (eq $other $name) (ne $meaning (index $ 2)) }}
    {{- include "image-refresh.refuse" (list $path $name "which is named by another target, or for another envValue, as well: one value holds one text") }}
  {{- else if or (hasPrefix (printf "%s." $other) $name) (hasPrefix (printf "%s." $name) $other) }}
    {{- include "image-refresh.refuse" (list $path $name (printf "which cannot be a value beside %s, a part of it or what holds it" $other)) }}
  {{- end }}
{{- end }}
{{- $_ := set (first .) $name (index . 2) }}
{{- end }}

{{/* What one key alone does not tell about public keys. Call with (list VALUES CONFIG). */}}
{{- define "image-refresh.checkKeys" -}}
{{- $mounted := list }}
{{- range (first .).publicKeys }}
  {{- $mounted = append $mounted (printf "keys/%s" (default .key .file)) }}
{{- end }}
{{- $verify := dict "verify" (last .).verify }}
{{- range $i, $target := (last .).targets }}
  {{- if hasKey . "verify" }}
    {{- $_ := set $verify (printf "targets[%d].verify" $i) .verify }}
  {{- end }}
{{- end }}
{{- range $path, $given := $verify }}
  {{- if and (not .keys) (or (ne $path "verify") (hasKey . "keys")) }}
    {{- fail (printf "%s.keys: must name at least one public key: without any, nothing could ever be rolled out" $path) }}
  {{- end }}
  {{- range $k, $key := .keys }}
    {{- if not (or (contains "-----BEGIN" .) (has (trimPrefix "/etc/image-refresh/" .) $mounted)) }}
      {{- include "image-refresh.refuse" (list (printf "%s.keys[%d]" $path $k) . (printf "which nothing mounts: publicKeys mounts %s" (join ", " $mounted | default "keys/FILE from a ConfigMap or a Secret, and is empty"))) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What one key alone does not tell about registries. Call with (list VALUES CONFIG). */}}
{{- define "image-refresh.checkRegistries" -}}
{{- $mounted := list }}
{{- range (first .).caCertificates }}
  {{- $mounted = append $mounted (printf "/etc/image-refresh/ca/%s" (default .key .file)) }}
{{- end }}
{{- $seen := dict }}
{{- range $i, $registry := (last .).registries }}
  {{- $path := printf "registries[%d]" $i }}
  {{- $host := ternary "docker.io" .host (eq .host "index.docker.io") }}
  {{- if hasKey $seen $host }}
    {{- include "image-refresh.refuse" (list (printf "%s.host" $path) .host (printf "the same as %s.host: list a host once" (get $seen $host))) }}
  {{- end }}
  {{- $_ := set $seen $host $path }}
  {{- range $k, $mirror := .mirrors }}
    {{- if eq $mirror $host }}
      {{- include "image-refresh.refuse" (list (printf "%s.mirrors[%d]" $path $k) $mirror "the host itself, which fallback already asks: leave it out") }}
    {{- end }}
  {{- end }}
  {{- if and (eq (toString .fallback) "false") (not .mirrors) }}
    {{- include "image-refresh.refuse" (list (printf "%s.fallback" $path) .fallback "and there are no mirrors: nothing would ever be asked") }}
  {{- end }}
  {{- if and .caFile .plainHTTP }}
    {{- include "image-refresh.refuse" (list (printf "%s.caFile" $path) .caFile "which means nothing beside plainHTTP: true: leave one of them out") }}
  {{- end }}
  {{- if and .caFile (not (has .caFile $mounted)) }}
    {{- include "image-refresh.refuse" (list (printf "%s.caFile" $path) .caFile (printf "which nothing mounts: caCertificates mounts %s" (join ", " $mounted | default "/etc/image-refresh/ca/FILE from a ConfigMap or a Secret, and is empty"))) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A pull secret is used where a target names it, or where a workload may name it itself, in image mode. Call with (list $ CONFIG). */}}
{{- define "image-refresh.checkPullSecrets" -}}
{{- $home := (first .).Release.Namespace }}
{{- $targets := (last .).targets }}
{{- range $i, $secret := (last .).pullSecrets }}
  {{- $namespace := default $home .namespace }}
  {{- $used := empty $targets }}
  {{- range $targets }}
    {{- $named := .pullSecrets }}
    {{- range .workloads }}
      {{- if eq (default $home .namespace) $namespace }}
        {{- $used = or $used (ternary (has $secret.name $named) (empty .env) (not (empty $named))) }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- if not $used }}
    {{- include "image-refresh.refuse" (list (printf "pullSecrets[%d].name" $i) .name (printf "which no target uses in namespace %s: correct name or namespace, or name it in a target's pullSecrets, which env needs" $namespace)) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What one key alone does not tell about the chart's own values. Call with (list $ VALUES). */}}
{{- define "image-refresh.checkOwn" -}}
{{- $context := first . }}
{{- $values := last . }}
{{- if not (or $context.Chart.IsRoot $values.targets) }}
  {{- fail (printf "%s: has no targets, so this dependency would install nothing: put its values under the key %s of the parent chart's values, or set %s.enabled to false" $context.Chart.Name $context.Chart.Name $context.Chart.Name) }}
{{- end }}
{{- if not (or $values.serviceAccount.create $values.serviceAccount.name) }}
  {{- include "image-refresh.refuse" (list "serviceAccount.name" "" "must name the service account where create is false: the right to patch workloads would go to all pods of the account default") }}
{{- end }}
{{- range $list := list "caCertificates" "publicKeys" }}
  {{- range $i, $file := index $values $list }}
    {{- if eq (empty .configMap) (empty .secret) }}
      {{- fail (printf "%s[%d]: must name a configMap or a secret, one of the two" $list $i) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $set := dict "POD_NAMESPACE" "the pod's own namespace" "NOTIFY_ON" "the value notify.on" "NOTIFY_URLS" "the value notify.secretName" "HEARTBEAT_URL" "the value heartbeat.secretName" }}
{{- range include "image-refresh.variables" $context | fromJsonArray }}
  {{- $_ := set $set (snakecase . | upper) (printf "the value %s" .) }}
{{- end }}
{{- range $i, $variable := $values.extraEnv }}
  {{- with get $set .name }}
    {{- include "image-refresh.refuse" (list (printf "extraEnv[%d].name" $i) $variable.name (printf "which %s sets: use that" .)) }}
  {{- end }}
{{- end }}
{{- range list "notify" "heartbeat" }}
  {{- $given := default dict (index $context.Values .) }}
  {{- if and $given.key (not $given.secretName) }}
    {{- include "image-refresh.refuse" (list (printf "%s.key" .) $given.key (printf "and %s.secretName is empty: name the Secret that has this key" .)) }}
  {{- end }}
{{- end }}
{{- $_ := include "image-refresh.activeDeadlineSeconds" $context }}
{{- $actions := $values.admissionPolicy.validationActions }}
{{- if or (not $actions) (and (has "Deny" $actions) (has "Warn" $actions)) }}
  {{- include "image-refresh.refuse" (list "admissionPolicy.validationActions" $actions "must be [Deny], [Warn], [Audit], [Deny, Audit] or [Warn, Audit]") }}
{{- end }}
{{- end }}
