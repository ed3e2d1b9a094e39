package main

import (
	"os"

	"github.com/tracebloc/image-refresh/internal/config"
)

// readsSecrets says whether a command reads pull secrets from the API server, with the rights of the person who runs it: any but a
// tick, outside of any pod, where none is mounted. What is read stays in memory.
func (p *program) readsSecrets(command string, env config.Env) bool {
	_, err := os.Stat(string(env.PullSecretsDir))
	_, inPod := p.lookup.Lookup("KUBERNETES_SERVICE_HOST")
	return command != "run" && !inPod && os.IsNotExist(err)
}
