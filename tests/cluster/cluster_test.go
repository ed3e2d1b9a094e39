package cluster_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/tracebloc/image-refresh/tests/cluster"
	"github.com/tracebloc/image-refresh/tests/components"
)

func TestAClusterComesUpKeepsAccountsToTheirRulesAndGoes(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Stop()) })
	version, err := c.Client().Discovery().ServerVersion()
	require.NoError(t, err)
	chosen, err := components.ChosenKubernetes()
	require.NoError(t, err)
	assert.Equal(t, string(chosen), version.GitVersion)

	namespace, err := c.Namespace(t.Context(), "rules")
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.Config())
	config.BearerToken, err = c.ServiceAccount(t.Context(), namespace, "reader", rbacv1.PolicyRule{
		APIGroups: []string{"apps"}, Resources: []string{"deployments"}, ResourceNames: []string{"mine"}, Verbs: []string{"get"},
	})
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.AppsV1().Deployments(namespace).Get(t.Context(), "mine", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "allowed, and not there: %v", err)
	_, err = client.AppsV1().Deployments(namespace).Get(t.Context(), "another", metav1.GetOptions{})
	assert.True(t, apierrors.IsForbidden(err), "not named by the role: %v", err)

	require.FileExists(t, c.Kubeconfig())
	require.NoError(t, c.Stop())
	assert.NoFileExists(t, c.Kubeconfig(), "nothing is left behind")
	_, err = c.Client().Discovery().ServerVersion()
	assert.Error(t, err, "the API server has gone")
}
