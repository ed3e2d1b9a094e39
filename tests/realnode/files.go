//go:build linux

package realnode

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// containerdSocket is where containerd listens.
const containerdSocket = "/run/containerd/containerd.sock"

// containerdConfig is for Debian's containerd 1.6. Without CAP_SYS_RESOURCE no sandbox could start unless oom scores were restricted.
const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "` + containerdSocket + `"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[2]s"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "%[1]s/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "%[1]s/hosts"
`

const hostsFile = `server = "https://%[1]s"
[host."https://%[1]s"]
  capabilities = ["pull", "resolve"]
  ca = "%[2]s"
`

const cniConfig = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{
  "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + PodNetwork + `"}], [{"subnet": "` + podNetwork6 + `"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}
}]}
`

const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://` + containerdSocket + `
cgroupDriver: cgroupfs
cgroupRoot: %[1]s
failCgroupV1: false
enforceNodeAllocatable: []
evictionHard: {}
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
clusterDNS: [` + Address + `]
clusterDomain: cluster.local
resolvConf: ""
volumePluginDir: /var/lib/kubelet/volume-plugins
# A test waits for what a kubelet does at leisure.
syncFrequency: 10s
`

const proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
hostnameOverride: ` + Name + `
clientConnection: {kubeconfig: "%[1]s"}
clusterCIDR: ` + PodNetwork + `
bindAddress: ` + Address + `
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
`

// write writes what the components read.
func (n *Node) write(options Options) error {
	files := map[string]string{
		"containerd.toml":      fmt.Sprintf(containerdConfig, n.dir, options.PauseImage),
		"cni/10-pods.conflist": cniConfig,
		"kubelet.yaml":         fmt.Sprintf(kubeletConfig, options.Cgroup),
		"proxy.yaml":           fmt.Sprintf(proxyConfig, n.at("node.kubeconfig")),
		"resolv.conf":          "nameserver " + Address + "\n",
	}
	for registry, server := range map[string]string{"docker.io": "registry-1.docker.io", "ghcr.io": "ghcr.io"} {
		files[filepath.Join("hosts", registry, "hosts.toml")] = fmt.Sprintf(hostsFile, server, options.CAFile)
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(n.at(name)), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(n.at(name), []byte(strings.TrimLeft(content, "\n")), 0o600); err != nil {
			return err
		}
	}
	return nil
}
