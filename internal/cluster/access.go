package cluster

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/tracebloc/image-refresh/internal/fault"
)

// Access is one thing that may be allowed or not: a verb on a resource in a namespace, by name where there is one.
type Access struct {
	Verb, Group, Resource, Namespace, Name string
}

func (a Access) String() string {
	what := a.Resource
	if a.Name != "" {
		what += "/" + a.Name
	}
	return fmt.Sprintf("%s %s in namespace %s", a.Verb, what, a.Namespace)
}

// May asks the API server whether we are allowed to, by a SelfSubjectAccessReview. The error is that it could
// not be asked.
func (c *Client) May(ctx context.Context, access Access) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: access.Verb, Group: access.Group, Resource: access.Resource, Namespace: access.Namespace, Name: access.Name,
		},
	}}
	err := c.do(ctx, func(ctx context.Context) error {
		return c.groups[authorizationv1.GroupName].Post().Resource("selfsubjectaccessreviews").Body(review).Do(ctx).Into(review)
	})
	if err != nil {
		return false, unasked("asked whether we may "+access.String(), err)
	}
	return review.Status.Allowed, nil
}

// unasked words that a question of the preflight had no answer.
func unasked(question string, err error) *fault.Error {
	return &fault.Error{Cause: fault.API, Err: err, Message: fmt.Sprintf(
		"the API server gave no answer, %s: %s; check the kubeconfig or service account, the way to the API server, and its load", question, fault.Clean(err.Error()))}
}
