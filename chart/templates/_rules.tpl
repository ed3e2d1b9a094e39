{{/*
Which values there are, and what each must be once it is rendered, in the program's own words. values.schema.json tells their types.

A key of a shape has the name of a rule or of another shape, a list around it where the value is a list of such, the keys of a map
of its own, or nothing where the type says it all. A name that ends in ! is of a value that must be there and not empty.
*/}}
{{- define "image-refresh.rules" -}}
shapes:
  values:
    global:
    enabled:
    nameOverride: label
    fullnameOverride: subdomain
    commonLabels:
    commonAnnotations:
    targets: [target]
    verify: verify
    publicKeys: [{configMap: subdomain, secret: subdomain, key: dataKey!, file: file}]
    window: window
    registries: [registry]
    cloudIdentity:
    pullSecrets: [{name: secret!, namespace: namespace, secretName: secret}]
    caCertificates: [{configMap: subdomain, secret: subdomain, key: dataKey!, file: file}]
    annotationPrefix: prefix
    resolveFailureThreshold: positive
    rolloutFailureThreshold: positive
    unsettledThreshold: positive
    contestedThreshold: positive
    rolloutTimeout: duration
    rollback:
    maxRollouts: count
    resolveTimeout: duration
    concurrency: positive
    clusterName:
    runbookURL: page
    notify: {secretName: secret, key: dataKey, "on": , "true": }
    heartbeat: {secretName: secret, key: dataKey}
    logLevel:
    logFormat:
    proxy: {http: , https: , noProxy: }
    extraEnv: [{name: variable!, value: , valueFrom: }]
    schedule: schedule
    timeZone:
    suspend:
    startingDeadlineSeconds: positive
    activeDeadlineSeconds: positive
    successfulJobsHistoryLimit: count
    failedJobsHistoryLimit: count
    ttlSecondsAfterFinished: count
    jobLabels:
    jobAnnotations:
    image: {repository: repository, tag: tag, digest: digest, pullPolicy: }
    imagePullSecrets: [{name: secret!}]
    serviceAccount: {create: , name: subdomain, annotations: }
    rbac: {create: , readPods: , readServiceAccounts: [subdomain!]}
    podLabels:
    podAnnotations:
    podSecurityContext:
    securityContext:
    resources:
    nodeSelector:
    tolerations:
    affinity:
    priorityClassName:
    admissionPolicy: {enabled: , validationActions: }
    networkPolicy:
      enabled:
      dnsTo:
      dnsPorts: [port]
      apiServerTo:
      apiServerPorts: [port]
      registriesTo:
      registryPorts: [port]
      extraEgress:
    prometheusRule: {enabled: , labels: , severity: labelValue, suspendedFor: prometheusDuration}
    grafanaDashboard: {enabled: , namespace: namespace, labels: , annotations: }
    extraObjects:
  target:
    name: targetName!
    image: image
    mode: mode
    resolveFailureThreshold: positive
    platforms: [platform!]
    staleAfter: age
    minAge: age
    window: window
    pullSecrets: [secret!]
    verify: verify
    pin: pin
    pinAtOnce:
    workloads: [workload]
  window: {days: [weekday!], from: clock!, to: clock!, timeZone: timeZone}
  workload:
    kind: kind!
    name: workloadName!
    namespace: namespace
    container: container
    env: variable
    envValue: envValue
    whenEmpty: whenEmpty
    helmValue: helmValue
  registry:
    host: host!
    mirrors: [mirror!]
    fallback:
    caFile:
    plainHTTP:
    cloudIdentity:
  verify: {keys: [publicKey!]}
rules:
  age: {pattern: '^[+-]?0$|^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$', says: 'must be a duration, as in 0s, 30m or 24h'}
  clock: {pattern: '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$', says: 'must be a time of the day in quotes, as in "22:00"'}
  container: {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', most: 63, says: 'must be the name of a container: lowercase letters, digits and dashes, at most 63'}
  count: {pattern: '^[0-9]+$', says: 'must be a whole number, at least 0'}
  dataKey: {pattern: '^[-._a-zA-Z0-9]+$', most: 253, says: 'must be a key of the ConfigMap or the Secret, as in ca.crt'}
  digest: {pattern: '^sha256:[0-9a-f]{64}$', says: 'must be a digest: sha256: and 64 hexadecimal digits'}
  duration: {pattern: '^\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$', not: '^[^1-9]*$', says: 'must be a duration above 0, as in 30s, 10m or 1h30m'}
  envValue: {pattern: '^(digest|reference)$', says: must be digest or reference}
  file: {pattern: '^[-_a-zA-Z0-9][-._a-zA-Z0-9]*$', most: 253, says: 'must be the name of a file, without a path, as in harbor.crt'}
  helmValue: {pattern: '^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$', says: "must be the path of a chart's value, as in api.image.digest"}
  host:
    pattern: '^((localhost|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+|\[[0-9a-f:]+\])(:[0-9]{1,5})?|[a-z0-9]([a-z0-9-]*[a-z0-9])?:[0-9]{1,5})$'
    says: "must be a registry's host as image references name it, as in docker.io or harbor.example.com:8443, without a scheme or a path"
  image:
    pattern: '^(([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(:[0-9]+)?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@.+)?$'
    not: '^[a-f0-9]{64}$'
    says: must be an image reference, as in ghcr.io/example/app:1.2, in lower case and without a scheme
  kind: {pattern: '^(Deployment|StatefulSet|DaemonSet|CronJob)$', says: 'must be Deployment, StatefulSet, DaemonSet or CronJob'}
  label: {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', says: 'must be lowercase letters, digits and dashes'}
  labelValue: {pattern: '^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$', most: 63, says: "must be a label's value, as in warning"}
  mirror:
    pattern: '^((localhost|[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+|\[[0-9a-f:]+\])(:[0-9]{1,5})?|[a-z0-9]([a-z0-9-]*[a-z0-9])?:[0-9]{1,5})(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$'
    not: '^(index\.)?docker\.io(/|$)'
    says: must be host or host/path, as in harbor.example.com/dockerhub, without a scheme; docker.io is no mirror
  mode: {pattern: '^(apply|notify)$', says: must be apply or notify}
  namespace: {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', most: 63, says: 'must be a namespace: lowercase letters, digits and dashes, at most 63'}
  page:
    pattern: '^https?://[^\s#/@?]+([/?][^\s#@]*)?$'
    most: 200
    says: 'must be the http or https address of a page, without a login and without #, at most 200 characters'
  pin: {pattern: '^(tag@digest|digest)$', says: must be tag@digest or digest}
  platform: {pattern: '^[a-z0-9][a-z0-9_.-]*(/[a-z0-9][a-z0-9_.-]*){1,2}$', says: 'must be os/architecture or os/architecture/variant in lower case, as in linux/arm64'}
  port: {pattern: '^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$', says: 'must be a port, from 1 to 65535'}
  positive: {pattern: '^[1-9][0-9]*$', says: 'must be a whole number, at least 1'}
  prefix:
    pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'
    not: '(^|\.)(kubernetes|k8s)\.io$'
    most: 253
    says: must be a domain of yours, as in example.com, in lower case and outside of kubernetes.io and k8s.io
  prometheusDuration: {pattern: '^([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$', says: 'must be a Prometheus duration, as in 1d or 1h30m'}
  publicKey:
    pattern: '^(\s*-----BEGIN (RSA )?PUBLIC KEY-----[\s\S]*|[-._/a-zA-Z0-9]+)$'
    most: 20000
    unquoted: true
    says: must be a file that publicKeys mounts, as in keys/cosign.pub, or a public key in PEM
  repository:
    pattern: '^(([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(:[0-9]+)?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$'
    says: must be a repository, as in ghcr.io/tracebloc/image-refresh, without a scheme, a tag or a digest
  schedule: {pattern: '^(@[a-z]+( [0-9a-z.]+)?|[^\s=]+(\s+[^\s=]+){4})$', says: 'must be five fields in cron format, as in 7-59/15 * * * *; the time zone goes into timeZone'}
  secret: {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$', most: 253, unquoted: true, says: 'must be the name of a Secret: lowercase letters, digits, dashes and dots'}
  subdomain: {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$', most: 253, says: 'must be the name of an object: lowercase letters, digits, dashes and dots'}
  tag: {pattern: '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$', says: must be a tag, as in 1.2.3}
  targetName: {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', most: 32, says: 'must be a DNS label (lowercase letters, digits, dashes) of at most 32 characters'}
  timeZone: {pattern: '^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$', not: '^Local$', says: 'must be a time zone of the IANA database, as in Europe/Berlin; left out, it is UTC'}
  variable: {pattern: '^([-_a-zA-Z]|\.[-_a-zA-Z0-9])[-._a-zA-Z0-9]*$', says: must be the name of an environment variable}
  weekday: {pattern: '^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)$', says: 'must be Mon, Tue, Wed, Thu, Fri, Sat or Sun'}
  whenEmpty: {pattern: '^(fill|leave)$', says: must be fill or leave}
  workloadName: {pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$', most: 253, says: 'must be the name of the workload: lowercase letters, digits, dashes and dots'}
{{- end }}
