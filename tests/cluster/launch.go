package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tracebloc/image-refresh/tests/components"
	"github.com/tracebloc/image-refresh/tests/pki"
	"github.com/tracebloc/image-refresh/tests/process"
)

// controllers are those that workloads need. There is no node lifecycle among them: fake nodes send no heartbeats and must stay
// Ready all the same.
const controllers = "deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller," +
	"job-controller,cronjob-controller,serviceaccount-controller,root-ca-certificate-publisher-controller," +
	"garbage-collector-controller,namespace-controller,disruption-controller,ttl-after-finished-controller," +
	"validatingadmissionpolicy-status-controller"

// nodeControllers are those that a real node and the pods on it need beside these.
const nodeControllers = ",node-lifecycle-controller,endpointslice-controller,persistentvolume-binder-controller," +
	"resourcequota-controller"

// withoutConsistency switches off that a controller does nothing until it has read what it wrote, with a back-off that grows: on a
// busy machine it keeps workloads waiting for a minute and more (https://github.com/kubernetes/kubernetes/issues/141250).
const withoutConsistency = "StaleControllerConsistencyDaemonSet=false,StaleControllerConsistencyJob=false," +
	"StaleControllerConsistencyReplicaSet=false,StaleControllerConsistencyStatefulSet=false"

func (c *Cluster) launch(ctx context.Context, version components.Kubernetes) error {
	ports, err := freePorts(ctx, 4)
	if err != nil {
		return err
	}
	clients, peers := "http://127.0.0.1:"+ports[0], "http://127.0.0.1:"+ports[1]
	if err := c.run(ctx, "etcd",
		"--name=test", "--data-dir="+c.at("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+clients, "--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers, "--initial-advertise-peer-urls="+peers, "--initial-cluster=test="+peers,
	); err != nil {
		return err
	}
	if err := c.run(ctx, "kube-apiserver", append(c.place(), "--etcd-servers="+clients,
		"--secure-port="+ports[2], "--service-cluster-ip-range=10.96.0.0/16", "--cert-dir="+c.dir,
		"--tls-cert-file="+c.at("server.crt"), "--tls-private-key-file="+c.at("server.key"), "--client-ca-file="+c.at("ca.crt"),
		"--token-auth-file="+c.at("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-key-file="+c.at("service-account.pub"), "--service-account-signing-key-file="+c.at("service-account.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--allow-privileged=true",
		"--profiling=false", "--shutdown-delay-duration=0s", "--enable-priority-and-fairness=false")...,
	); err != nil {
		return err
	}
	c.server = "https://127.0.0.1:" + ports[2]
	c.config = &rest.Config{
		Host: c.server, BearerToken: c.token, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.PEM()},
		QPS: -1, // a negative rate is no rate limit
	}
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	if err := c.WriteKubeconfig(c.Kubeconfig(), Access{}); err != nil {
		return err
	}
	if err := c.await(ctx, "the API server is ready", func() bool {
		return c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil
	}); err != nil {
		return err
	}
	named := controllers
	if len(c.node) > 0 {
		named += nodeControllers
	}
	arguments := []string{
		"--kubeconfig=" + c.Kubeconfig(), "--leader-elect=false", "--controllers=" + named,
		"--bind-address=127.0.0.1", "--secure-port=" + ports[3], "--cert-dir=" + c.dir, "--profiling=false",
		"--service-account-private-key-file=" + c.at("service-account.key"), "--root-ca-file=" + c.at("ca.crt"),
		"--kube-api-qps=1000", "--kube-api-burst=2000", "--concurrent-deployment-syncs=20",
		"--concurrent-replicaset-syncs=20", "--concurrent-statefulset-syncs=20", "--concurrent-daemonset-syncs=20",
		"--concurrent-job-syncs=20", "--concurrent-cron-job-syncs=20", "--concurrent-namespace-syncs=20",
	}
	if version != components.Kubernetes134 { // which does not know them
		arguments = append(arguments, "--feature-gates="+withoutConsistency)
	}
	if err := c.run(ctx, "kube-controller-manager", arguments...); err != nil {
		return err
	}
	return c.await(ctx, "the controllers work", func() bool { return c.hasDefaultAccount(ctx, "default") })
}

// place says where the API server listens, and where pods find it.
func (c *Cluster) place() []string {
	if len(c.node) > 0 {
		return []string{"--bind-address=::", "--advertise-address=" + c.node[0], "--kubelet-preferred-address-types=InternalIP"}
	}
	return []string{
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		// Without the node lifecycle controller nothing would take the taints away that this plugin puts on new nodes.
		"--disable-admission-plugins=TaintNodesByCondition",
	}
}

func (c *Cluster) run(ctx context.Context, name string, args ...string) error {
	p, err := process.Start(ctx, c.dir, name, c.binaries[name], args...)
	if err == nil {
		c.processes = append(c.processes, p)
	}
	return err
}

func (c *Cluster) await(ctx context.Context, what string, holds func() bool) error {
	return process.Await(ctx, what, holds, c.processes...)
}

// freePorts asks the kernel for ports and holds all of them before it lets go of any, so that they differ.
func freePorts(ctx context.Context, n int) (ports []string, err error) {
	for range n {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = listener.Close() }() // nothing was accepted on it
		ports = append(ports, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}

// serviceAddress is the address of the service kubernetes.
const serviceAddress = "10.96.0.1"

// writeFiles writes what the components read: certificates, keys and the administrator's token.
func (c *Cluster) writeFiles() (err error) {
	if c.ca, err = pki.NewAuthority("image-refresh test cluster"); err != nil {
		return err
	}
	names := append([]string{"127.0.0.1", "localhost", "kubernetes", "kubernetes.default.svc", serviceAddress}, c.node...)
	certificate, err := c.ca.Issue(names...)
	if err != nil {
		return err
	}
	c.token = rand.Text()
	return errors.Join(
		c.ca.WriteFile(c.at("ca.crt")),
		pki.WritePair(certificate, c.at("server.crt"), c.at("server.key")),
		pki.WriteServiceAccountKey(c.at("service-account.key"), c.at("service-account.pub")),
		os.WriteFile(c.at("tokens.csv"), []byte(c.token+`,admin,admin,"system:masters"`+"\n"), 0o600),
	)
}
