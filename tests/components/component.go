package components

import (
	"fmt"
	"os"
	"strings"
)

// Component is one binary of the test cluster.
type Component struct {
	Name    string
	Version string // what the binary says of itself
	module  string // the folder under tests/ whose go.mod pins it
	path    string // the main package
	ldflags string // what its release build would set
}

// Kubernetes is a version of Kubernetes that a module under tests/kubernetes pins.
type Kubernetes string

// The versions, of which tests run against the newest unless $KUBERNETES says otherwise.
const (
	Kubernetes134 Kubernetes = "v1.34.4"
	Kubernetes136 Kubernetes = "v1.36.3"
)

// ChosenKubernetes returns the version that $KUBERNETES names by its minor: 1.36, or 1.34.
func ChosenKubernetes() (Kubernetes, error) {
	switch minor := os.Getenv("KUBERNETES"); minor {
	case "", "1.36":
		return Kubernetes136, nil
	case "1.34":
		return Kubernetes134, nil
	default:
		return "", fmt.Errorf("KUBERNETES is %q: it must be 1.34 or 1.36, or unset", minor)
	}
}

// ControlPlane is what a cluster without nodes runs, and kubectl.
func (k Kubernetes) ControlPlane() []Component {
	return []Component{
		{Name: "etcd", Version: "v3.6.7", module: "etcd", path: "go.etcd.io/etcd/server/v3"},
		k.component("kube-apiserver"), k.component("kube-controller-manager"), k.component("kubectl"),
	}
}

// Node is what a cluster with a real node runs beside its control plane.
func (k Kubernetes) Node() []Component {
	return []Component{k.component("kube-scheduler"), k.component("kubelet"), k.component("kube-proxy")}
}

func (k Kubernetes) component(name string) Component {
	numbers := strings.Split(strings.TrimPrefix(string(k), "v"), ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, value := range []string{"gitVersion=" + string(k), "gitMajor=" + numbers[0], "gitMinor=" + numbers[1], "gitTreeState=clean"} {
			flags = append(flags, "-X "+pkg+"."+value)
		}
	}
	return Component{
		Name: name, Version: string(k), module: "kubernetes/v" + numbers[0] + "." + numbers[1],
		path: "k8s.io/kubernetes/cmd/" + name, ldflags: strings.Join(flags, " "),
	}
}
