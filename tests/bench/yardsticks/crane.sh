#!/usr/bin/env bash
# The least that tells whether an image is fresh: crane asks for the digest of each line of TARGETS, kubectl for what
# the Deployment holds. It changes nothing. Written for the benchmark.
set -euo pipefail

while read -r host repository tag deployment container variable; do
	latest=$(crane digest "$host/$repository:$tag")
	live=$(kubectl get deployment "$deployment" \
		-o "jsonpath={.spec.template.spec.containers[?(@.name==\"$container\")].env[?(@.name==\"$variable\")].value}")
	if [ "$live" = "$latest" ]; then
		echo "$deployment: unchanged"
	else
		echo "$deployment: stale"
	fi
done <<<"$TARGETS"
