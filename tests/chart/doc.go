// Package chart tests chart/ with the real Helm 3 and Helm 4 of tests/tools, from outside: what they render is
// decoded strictly into the API's own types, compared with what the program itself says of the same values, and
// installed and upgraded on a real API server. What a single template renders is told by the helm-unittest suites
// beside it. The script run does both.
package chart
