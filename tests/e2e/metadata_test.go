//go:build e2e && linux

package e2e

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tracebloc/image-refresh/tests/faultinject"
	"github.com/tracebloc/image-refresh/tests/realnode"
	"github.com/tracebloc/image-refresh/tests/registries"
	"github.com/tracebloc/image-refresh/tests/workloads"
)

// Where clouds have their metadata services, and EKS its Pod Identity agent.
const (
	metadataAddress = "169.254.169.254"
	agentAddress    = "169.254.170.23"
	metadataName    = "metadata.google.internal"
)

// visitors are the addresses from which a metadata service was asked.
type visitors struct {
	mu    sync.Mutex
	asked map[string][]string // by the service's address
}

func (v *visitors) at(address string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.asked[address] = append(v.asked[address], r.RemoteAddr)
		v.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

// Metadata services are asked at their own addresses, past the proxy that is set and that NO_PROXY says nothing of.
func TestMetadataServicesAreAskedDirectly(t *testing.T) {
	t.Parallel()
	const (
		ecr  = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
		gar  = "europe-west3-docker.pkg.dev"
		acr  = "tracebloc.azurecr.io"
		path = "/team/app:1"
	)
	s := newSuite(t, "metadata")
	services := s.site.Cloud("api.ecr.eu-central-1.amazonaws.com")
	direct := &visitors{asked: map[string][]string{}}
	for address, handler := range map[string]http.Handler{
		metadataAddress + ":80": direct.at(metadataAddress, services), agentAddress + ":80": direct.at(agentAddress, services),
		realnode.Address + ":3128": s.site.Proxy,
	} {
		_, stop, err := faultinject.Listen(t.Context(), address, handler, nil)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, stop()) })
	}
	values, digests := "targets:\n", map[string]string{}
	for host, account := range map[string]string{ecr: registries.AmazonUser, gar: registries.GoogleUser, acr: registries.MicrosoftUser} {
		store := registries.NewStore(t.Context())
		registry := registries.NewECR(store, host)
		var handler http.Handler = registry
		switch host {
		case gar:
			registry = registries.NewTokenRegistry(store, "https://"+host+"/v2/token")
			handler = registry
		case acr:
			registry = registries.NewACR(store, host)
			handler = services.Exchanger(registry)
		}
		s.site.Add(host, store, handler, host)
		registry.SetPrivate("team/app", true)
		registry.AddAccount(account, registries.CloudAccount, "team/app")
		image, err := realnode.Image(s.program, "linux/amd64", "serve", host)
		require.NoError(t, err)
		digest, err := s.site.Push(host+path, registries.Built(image))
		require.NoError(t, err)
		name, _, _ := strings.Cut("of-"+host, ".")
		digests[name] = digest
		_, err = s.client.AppsV1().Deployments(s.namespace).Create(t.Context(),
			workloads.Deployment(name, workloads.Replicas(0), workloads.Container("api", host+path+"@"+digest)), metav1.CreateOptions{})
		require.NoError(t, err)
		values += "  - {name: " + name + ", workloads: [{kind: Deployment, name: " + name + "}]}\n"
	}
	proxy := "http://" + net.JoinHostPort(realnode.Address, "3128")
	values += byHand + "proxy: {http: '" + proxy + "', https: '" + proxy + "'}\n" +
		"extraEnv:\n  - {name: SSL_CERT_FILE, value: /etc/image-refresh/ca/registries.crt}\n"
	s.install(values)
	resolved := func() {
		report := s.tick(0).report
		for name, digest := range digests {
			assert.Equal(t, digest, report.Target(name).Digest, name)
		}
	}
	resolved()
	s.helm("helm upgrade image-refresh ./chart --values values.yaml", values+
		"  - {name: AWS_CONTAINER_CREDENTIALS_FULL_URI, value: 'http://"+agentAddress+"/v1/credentials'}\n"+
		"  - {name: AWS_CONTAINER_AUTHORIZATION_TOKEN, value: "+registries.PodToken+"}\n")
	resolved()
	direct.mu.Lock()
	defer direct.mu.Unlock()
	for _, address := range []string{metadataAddress, agentAddress} {
		assert.NotEmpty(t, direct.asked[address], address)
		for _, from := range direct.asked[address] {
			assert.True(t, strings.HasPrefix(from, "10.244."), "%s was asked by %s, and not by a pod", address, from)
		}
	}
	for _, host := range []string{metadataAddress, agentAddress, metadataName} {
		assert.Empty(t, s.site.Proxy.Connects(host), host)
	}
	assert.NotEmpty(t, s.site.Proxy.Connects(ecr), "all else goes through it")
}
