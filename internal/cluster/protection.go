package cluster

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/tracebloc/image-refresh/internal/workload"
)

// AdmissionPolicy says whether the chart's policy is there that confines the service account of a namespace. The chart grants no
// right to look: a person may have it. The policy of an installation is named after it and its namespace.
func (c *Client) AdmissionPolicy(ctx context.Context, namespace string) (bool, error) {
	return c.charts(ctx, "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies", "."+namespace)
}

// NetworkPolicy says whether the chart's policy is there for its pods in a namespace, likewise.
func (c *Client) NetworkPolicy(ctx context.Context, namespace string) (bool, error) {
	return c.charts(ctx, "/apis/networking.k8s.io/v1/namespaces/"+namespace+"/networkpolicies", "")
}

// charts says whether an object with the chart's label, and a name that ends like this, is in a list.
func (c *Client) charts(ctx context.Context, path, suffix string) (found bool, err error) {
	var list struct {
		Items []struct{ Metadata struct{ Name string } }
	}
	err = c.do(ctx, func(ctx context.Context) error {
		text, err := c.groups[""].Get().AbsPath(path).Param("labelSelector", workload.ScheduleSelector).
			SetHeader("Accept", "application/json").Do(ctx).Raw()
		if err == nil {
			err = json.Unmarshal(text, &list)
		}
		return err
	})
	for _, item := range list.Items {
		found = found || strings.HasSuffix(item.Metadata.Name, suffix)
	}
	return found, err
}
