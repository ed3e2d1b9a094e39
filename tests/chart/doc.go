// Package chart tests chart/ with the real Helm 3 and Helm 4 of tests/tools, from outside: what they render is
// decoded strictly into the API's own types and judged by the API's own rules. What a single template renders is
// told by the helm-unittest suites beside it. The script run does both.
package chart
