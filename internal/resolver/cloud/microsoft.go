package cloud

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azure "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/tracebloc/image-refresh/internal/credential"
	"github.com/tracebloc/image-refresh/internal/failure"
)

// audience is the application that all of Microsoft's registries are, in each of its clouds.
const audience = "https://containerregistry.azure.net/.default"

// microsoftUser stands in front of a registry's refresh token where a user name belongs.
const microsoftUser = "00000000-0000-0000-0000-000000000000"

// authorities issue tokens in clouds other than the public one, by the domain of their registries.
var authorities = map[string]azure.Configuration{"azurecr.cn": azure.AzureChina, "azurecr.us": azure.AzureGovernment, "azurecr.io": azure.AzurePublic}

// microsoft gets a token for the pod, or else for the node's managed identity, and has the registry exchange it for one of
// its own.
func (c *Client) microsoft(ctx context.Context, r *Registry, roots *x509.CertPool) (account, *Problem) {
	token, p := c.entra(ctx, r)
	if p != nil {
		return account{}, p
	}
	as := "the managed identity of the node"
	if id := credential.ReadClaims(token).AppID; id != "" {
		as = "the client ID " + failure.Clean(id)
	} else if id := c.Getenv("AZURE_CLIENT_ID"); id != "" {
		as = "the client ID " + failure.Clean(id)
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {r.Host}, "access_token": {token}}
	if tenant := c.Getenv("AZURE_TENANT_ID"); tenant != "" {
		form.Set("tenant", tenant)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+r.Host+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return account{}, missing("the registry's name is no host's", "correct it")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	talk := c.outside(ctx, roots)
	answer, ok := talk.send(request)
	var found struct {
		Token string `json:"refresh_token"`
	}
	if ok && json.Unmarshal(answer, &found) == nil && found.Token != "" {
		return account{microsoftUser, found.Token, as}, nil
	}
	refused := meaning{failure.BadResponse, "check what it is that answers there"}
	switch talk.status {
	case http.StatusUnauthorized:
		refused = meaning{failure.Unauthorized, "see that " + as + " is of the registry's tenant, and " + r.Rights()}
	case http.StatusForbidden:
		refused = meaning{failure.Forbidden, "let the registry's firewall pass this network, and " + r.Rights()}
	}
	return account{}, talk.problem("", refused, "let the proxy and firewalls pass it")
}

// entra gets a token of Entra ID, with the service account's token where the pod has one for that (Workload Identity), or else
// from the node's metadata service.
func (c *Client) entra(ctx context.Context, r *Registry) (string, *Problem) {
	client, tenant, tokenFile := c.Getenv("AZURE_CLIENT_ID"), c.Getenv("AZURE_TENANT_ID"), c.Getenv("AZURE_FEDERATED_TOKEN_FILE")
	if tokenFile == "" {
		return c.managedIdentity(ctx, r, client)
	}
	if client == "" {
		return "", missing("the pod has a token for Entra ID, and AZURE_CLIENT_ID is not set", "annotate its service account with azure.workload.identity/client-id")
	}
	talk := c.outside(ctx, nil)
	found, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: c.azureOptions(talk, r), ClientID: client, TenantID: tenant, TokenFilePath: tokenFile, DisableInstanceDiscovery: true,
	})
	if err != nil {
		return "", missing("AZURE_TENANT_ID or AZURE_AUTHORITY_HOST is not what the library takes", "see what the webhook of Workload Identity has set")
	}
	token, err := found.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience}})
	switch {
	case err == nil:
		return token.Token, nil
	case talk.failed == nil && talk.status == 0:
		return "", missing("the file that AZURE_FEDERATED_TOKEN_FILE names cannot be read", "see that the pod was made by the CronJob with the label")
	}
	refused := meaning{failure.Unauthorized, "see that the application or managed identity " + failure.Clean(client) + " is there, and enabled"}
	if bytes.Contains(talk.body, []byte("AADSTS70021")) { // and those that begin so: no federated credential matches
		refused = meaning{failure.CredentialMissing, "add a federated credential for the pod's service account, and the cluster's issuer, to " + failure.Clean(client)}
	}
	return "", talk.problem(oauthCode(talk.body), refused, "let the proxy and firewalls pass it")
}

func (c *Client) managedIdentity(ctx context.Context, r *Registry, client string) (string, *Problem) {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	talk := c.direct(ctx)
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: c.azureOptions(talk, r)}
	if client != "" {
		options.ID = azidentity.ClientID(client)
	}
	fix := r.How()
	if client != "" {
		fix = "AZURE_CLIENT_ID is set and AZURE_FEDERATED_TOKEN_FILE is not: " + fix
	}
	found, err := azidentity.NewManagedIdentityCredential(options)
	if err != nil {
		return "", missing("the node's identity cannot be asked for", fix)
	}
	token, err := found.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience}})
	switch {
	case err == nil:
		return token.Token, nil
	case talk.failed == nil && talk.status >= http.StatusBadRequest && talk.status < http.StatusTooManyRequests:
		p := missing("the pod has none, and the node none that can be meant", fix)
		p.Place, p.Status = talk.place, talk.status
		return "", p
	}
	p := talk.problem(oauthCode(talk.body), meaning{failure.BadResponse, fix}, fix)
	p.Waited = metadataPatience
	return "", p
}

func (c *Client) azureOptions(talk *conversation, r *Registry) azcore.ClientOptions {
	options := azcore.ClientOptions{Transport: talk.client(), Retry: policy.RetryOptions{MaxRetries: -1}}
	if c.Getenv("AZURE_AUTHORITY_HOST") == "" {
		options.Cloud = authorities[r.domain]
	}
	return options
}
