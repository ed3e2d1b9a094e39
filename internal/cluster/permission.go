package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/tracebloc/image-refresh/internal/failure"
)

// Permission is one thing that may be allowed or not: a verb on a resource in a namespace, by name where there is one.
type Permission struct {
	Verb, Group, Resource, Namespace, Name string
}

func (a Permission) String() string {
	what := a.Resource
	if a.Name != "" {
		what += "/" + a.Name
	}
	return fmt.Sprintf("%s %s in namespace %s", a.Verb, what, a.Namespace)
}

// CanI asks the API server whether we are allowed to, by a SelfSubjectAccessReview. The error is that it could
// not be asked.
func (c *Client) CanI(ctx context.Context, permission Permission) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: permission.Verb, Group: permission.Group, Resource: permission.Resource, Namespace: permission.Namespace, Name: permission.Name,
		},
	}}
	err := c.do(ctx, func(ctx context.Context) error {
		return c.groups[authorizationv1.GroupName].Post().Resource("selfsubjectaccessreviews").Body(review).Do(ctx).Into(review)
	})
	if err != nil {
		return false, notAnswered("asked whether we may "+permission.String(), err)
	}
	return review.Status.Allowed, nil
}

// WhoAmI is the name by which the API server knows us (https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review);
// empty where it does not say, as before Kubernetes 1.28. It is spoken by hand: the API's types would be registered in every tick, for
// this one question of a check.
func (c *Client) WhoAmI(ctx context.Context) string {
	var review struct {
		Status struct{ UserInfo struct{ Username string } }
	}
	err := c.do(ctx, func(ctx context.Context) error {
		text, err := c.groups[""].Post().AbsPath("/apis/authentication.k8s.io/v1/selfsubjectreviews").
			SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").
			Body([]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}`)).Do(ctx).Raw()
		if err == nil {
			err = json.Unmarshal(text, &review)
		}
		return err
	})
	if err != nil {
		return ""
	}
	return review.Status.UserInfo.Username
}

// notAnswered words that a question of the preflight had no answer.
func notAnswered(question string, err error) *failure.Error {
	return &failure.Error{
		Cause: failure.API, Err: err, Message: fmt.Sprintf("the API server gave no answer, %s: %s", question, failure.Clean(err.Error())),
		Fix: "check the kubeconfig or service account, the way to the API server, and its load",
	}
}
