package components

import (
	"fmt"
	"os"
	"strings"
)

// Component is one binary of the test cluster.
type Component struct {
	// Name is the binary's name.
	Name string
	// Version is what the binary says of itself.
	Version string
	// module is the folder under tests/ whose go.mod pins it.
	module string
	// path is the main package.
	path string
	// ldflags are what its release build would set.
	ldflags string
}

// Kubernetes is a version of Kubernetes that a module under tests/kubernetes
// pins.
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

// Etcd returns the database that the API server stores into.
func Etcd() Component {
	return Component{Name: "etcd", Version: "v3.6.7", module: "etcd", path: "go.etcd.io/etcd/server/v3"}
}

// APIServer returns this version's kube-apiserver.
func (k Kubernetes) APIServer() Component { return k.component("kube-apiserver") }

// ControllerManager returns this version's kube-controller-manager.
func (k Kubernetes) ControllerManager() Component { return k.component("kube-controller-manager") }

// Kubectl returns this version's kubectl.
func (k Kubernetes) Kubectl() Component { return k.component("kubectl") }

// Scheduler returns this version's kube-scheduler, for clusters with a node.
func (k Kubernetes) Scheduler() Component { return k.component("kube-scheduler") }

// Kubelet returns this version's kubelet, for clusters with a node.
func (k Kubernetes) Kubelet() Component { return k.component("kubelet") }

// Proxy returns this version's kube-proxy, for clusters with a node.
func (k Kubernetes) Proxy() Component { return k.component("kube-proxy") }

func (k Kubernetes) component(name string) Component {
	major, minor := k.numbers()
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			fmt.Sprintf("-X %s.gitVersion=%s", pkg, k),
			fmt.Sprintf("-X %s.gitMajor=%s", pkg, major),
			fmt.Sprintf("-X %s.gitMinor=%s", pkg, minor),
			fmt.Sprintf("-X %s.gitTreeState=clean", pkg))
	}
	return Component{
		Name:    name,
		Version: string(k),
		module:  fmt.Sprintf("kubernetes/v%s.%s", major, minor),
		path:    "k8s.io/kubernetes/cmd/" + name,
		ldflags: strings.Join(flags, " "),
	}
}

func (k Kubernetes) numbers() (major, minor string) {
	major, rest, _ := strings.Cut(strings.TrimPrefix(string(k), "v"), ".")
	minor, _, _ = strings.Cut(rest, ".")
	return major, minor
}
