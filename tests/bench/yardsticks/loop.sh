#!/usr/bin/env bash
# What people use instead, as short as it can be: kubectl, curl and jq in a loop. One run is one tick: for each line
# of TARGETS (HOST REPOSITORY TAG DEPLOYMENT CONTAINER VARIABLE) the digest of the tag is put into the variable, the
# rollout is waited for, and the digest is recorded. Written for the benchmark.
set -euo pipefail

accept=application/vnd.oci.image.index.v1+json,application/vnd.docker.distribution.manifest.list.v2+json
accept+=,application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json

# digest HOST REPOSITORY TAG
digest() {
	local registry=$1 tokens="https://$1/token?service=$1" token
	if [ "$1" = docker.io ]; then
		registry=registry-1.docker.io tokens="https://auth.docker.io/token?service=registry.docker.io"
	fi
	token=$(curl -fsS --max-time 30 "$tokens&scope=repository:$2:pull" | jq -r .token)
	curl -fsSI --max-time 30 -H "Authorization: Bearer $token" -H "Accept: $accept" "https://$registry/v2/$2/manifests/$3" |
		sed -n 's/\r$//; s/^[Dd]ocker-[Cc]ontent-[Dd]igest: //p'
}

failed=0
while read -r host repository tag deployment container variable; do
	read -r live recorded settled < <(kubectl get deployment "$deployment" -o json | jq -r --arg c "$container" --arg v "$variable" '[
		(.spec.template.spec.containers[] | select(.name == $c) | .env[] | select(.name == $v) | .value),
		(.metadata.annotations["bench/recorded"] // "none"),
		(.status.observedGeneration >= .metadata.generation and .status.updatedReplicas == .spec.replicas
			and .status.availableReplicas == .spec.replicas)
	] | @tsv')
	if ! latest=$(digest "$host" "$repository" "$tag") || [[ ! $latest =~ ^sha256:[0-9a-f]{64}$ ]]; then
		echo "$deployment: $host/$repository:$tag cannot be resolved" >&2
		failed=1
	elif [ "$live" = "$latest" ] && [ "$recorded" = "$latest" ]; then
		echo "$deployment: unchanged"
	elif [ "$live" != "$latest" ] && [ "$settled" != true ]; then
		echo "$deployment: waiting"
	else
		kubectl set env "deployment/$deployment" -c "$container" "$variable=$latest"
		kubectl rollout status "deployment/$deployment" --timeout=5m
		kubectl annotate --overwrite "deployment/$deployment" "bench/recorded=$latest"
	fi
done <<<"$TARGETS"
exit "$failed"
