package cluster

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Access is how a kubeconfig reaches the cluster.
type Access struct {
	// Server and CA are those of the API server where empty; a test that puts a proxy in front of it gives the proxy's.
	Server string
	CA     []byte
	// Token is the bearer token; the administrator's where empty.
	Token string
	// Namespace is the context's namespace.
	Namespace string
}

// WriteKubeconfig writes a kubeconfig with one context, "test", to path.
func (c *Cluster) WriteKubeconfig(path string, access Access) error {
	if access.CA == nil {
		access.CA = c.ca.PEM()
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["test"] = &clientcmdapi.Cluster{Server: cmp.Or(access.Server, c.server), CertificateAuthorityData: access.CA}
	config.AuthInfos["test"] = &clientcmdapi.AuthInfo{Token: cmp.Or(access.Token, c.token)}
	config.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test", Namespace: access.Namespace}
	config.CurrentContext = "test"
	return clientcmd.WriteToFile(*config, path)
}

// Namespace makes a namespace whose name starts with prefix, ready to have pods: its default service account exists.
func (c *Cluster) Namespace(ctx context.Context, prefix string) (string, error) {
	namespace, err := c.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a namespace: %w", err)
	}
	return namespace.Name, c.await(ctx, "namespace "+namespace.Name+" has its service account", func() bool {
		return c.hasDefaultAccount(ctx, namespace.Name)
	})
}

func (c *Cluster) hasDefaultAccount(ctx context.Context, namespace string) bool {
	_, err := c.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
	return err == nil
}

// ServiceAccount makes a service account that may do what rules say in its namespace, and nothing else, and returns a token for it.
// It returns when the API server knows both.
func (c *Cluster) ServiceAccount(ctx context.Context, namespace, name string, rules ...rbacv1.PolicyRule) (token string, err error) {
	accounts := c.client.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("make service account %s: %w", name, err)
	}
	if err := c.Grant(ctx, namespace, namespace, name, rules...); err != nil {
		return "", err
	}
	answer, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64((4 * time.Hour).Seconds()))},
	}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("make a token for %s: %w", name, err)
	}
	return answer.Status.Token, c.awaitRules(ctx, namespace, answer.Status.Token, rules)
}

// Grant sets what a service account may do in a namespace, its own (home) or another one. Called again, it replaces what it granted
// there.
func (c *Cluster) Grant(ctx context.Context, namespace, home, name string, rules ...rbacv1.PolicyRule) error {
	meta := metav1.ObjectMeta{Name: home + "-" + name}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: rules}
	_, err := c.client.RbacV1().Roles(namespace).Create(ctx, role, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = c.client.RbacV1().Roles(namespace).Update(ctx, role, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("set the role of %s: %w", name, err)
	}
	_, err = c.client.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: home, Name: name}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("bind the role of %s: %w", name, err)
	}
	return nil
}

// awaitRules waits until the authorizer, which learns of roles by a watch, grants the first of each rule.
func (c *Cluster) awaitRules(ctx context.Context, namespace, token string, rules []rbacv1.PolicyRule) error {
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken, config.QPS = token, -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		resource, subresource, _ := strings.Cut(rule.Resources[0], "/")
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: resource, Subresource: subresource,
				Name: append(rule.ResourceNames, "")[0],
			},
		}}
		if err := c.await(ctx, "the role is in force", func() bool {
			answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			return err == nil && answer.Status.Allowed
		}); err != nil {
			return err
		}
	}
	return nil
}
