// Package components builds the servers of a real cluster (etcd, the Kubernetes control plane, kubectl) from their Go modules, once,
// into the user's cache folder: $IMAGE_REFRESH_CACHE, else $XDG_CACHE_HOME, else ~/.cache. Each component's versions are pinned by
// a module of its own beside this one (tests/etcd, tests/kubernetes/v1.36 and v1.34), so that neither the product nor the tests
// require Kubernetes itself.
//
// A cold build takes minutes and says so on the way; a warm one is a stat. Two processes that want the same component build it once.
package components

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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

const testsModule = "module github.com/tracebloc/image-refresh/tests\n"

// Root returns the folder of the tests module, found from the working directory upwards: go test runs each package's tests in its
// folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		for _, candidate := range []string{dir, filepath.Join(dir, "tests")} {
			mod, err := os.ReadFile(filepath.Join(candidate, "go.mod")) //nolint:gosec // the folder this runs in
			if err == nil && bytes.HasPrefix(mod, []byte(testsModule)) {
				return candidate, nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the tests module is neither here nor above: run this inside the repository")
		}
		dir = parent
	}
}

// cache returns the folder that built binaries are kept in.
func cache() (string, error) {
	for _, variable := range []string{"IMAGE_REFRESH_CACHE", "XDG_CACHE_HOME"} {
		if dir := os.Getenv(variable); dir != "" {
			return filepath.Join(dir, "image-refresh-tests"), nil
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (IMAGE_REFRESH_CACHE sets it): %w", err)
	}
	return filepath.Join(home, ".cache", "image-refresh-tests"), nil
}

// folder names where the component is kept. The key changes with everything that the build reads, so a bumped module never runs a
// stale binary.
func (c Component) folder(root string) (string, error) {
	cache, err := cache()
	if err != nil {
		return "", err
	}
	key := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, c.module, name)) //nolint:gosec // a folder of this repository
		if err != nil {
			return "", fmt.Errorf("find the module of %s: %w", c.Name, err)
		}
		_, _ = key.Write(text) // a hash takes everything
	}
	_, _ = fmt.Fprintf(key, "%s %s %s", c.path, c.ldflags, runtime.Version())
	return filepath.Join(cache, fmt.Sprintf("%s-%s-%s-%s-%x", c.Name, c.Version, runtime.GOOS, runtime.GOARCH, key.Sum(nil)[:6])), nil
}
