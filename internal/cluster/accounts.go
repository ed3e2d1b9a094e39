package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/tracebloc/image-refresh/internal/credential"
)

// PullSecret reads a pull secret, for a person: the chart grants no right to that. It is a credential.Source.
func (c *Client) PullSecret(ctx context.Context, name credential.Name) (data []byte, older bool, state credential.State) {
	object := &corev1.Secret{}
	err := c.do(ctx, func(ctx context.Context) error {
		return c.groups[""].Get().Namespace(name.Namespace).Resource("secrets").Name(name.Name).Do(ctx).Into(object)
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil, false, credential.Absent
	case apierrors.IsForbidden(err):
		return nil, false, credential.Denied
	case err != nil:
		return nil, false, credential.Unreadable
	}
	if data, newer := object.Data[corev1.DockerConfigJsonKey]; newer {
		return data, false, 0
	}
	return object.Data[corev1.DockerConfigKey], true, 0
}

// PullSecrets names the pull secrets of a service account, which the pods get that name none themselves. None
// where the account does not exist, or may not be read: the chart grants that only where it is told to.
func (c *Client) PullSecrets(ctx context.Context, namespace, account string) ([]string, error) {
	object := &corev1.ServiceAccount{}
	err := c.do(ctx, func(ctx context.Context) error {
		return c.groups[""].Get().Namespace(namespace).Resource("serviceaccounts").Name(account).Do(ctx).Into(object)
	})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading the pull secrets of service account %s/%s: %w", namespace, account, err)
	}
	var names []string
	for _, secret := range object.ImagePullSecrets {
		names = append(names, secret.Name)
	}
	return names, nil
}
