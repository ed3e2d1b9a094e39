package cloud

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/tracebloc/image-refresh/internal/failure"
	"github.com/tracebloc/image-refresh/internal/file"
	wire "github.com/tracebloc/image-refresh/internal/resolver/transport"
)

// amazon asks ECR for a password, in the registry's region and in the name of the pod's role or, where it has none, of the
// node's.
func (c *Client) amazon(ctx context.Context, r *Registry) (account, *Problem) {
	keys, as, p := c.amazonKeys(ctx, r)
	if p != nil {
		return account{}, p
	}
	service, name, target, action := "ecr", "ECR", "AmazonEC2ContainerRegistry_V20150921", "ecr:GetAuthorizationToken"
	if r.public {
		service, name, target, action = "ecr-public", "ECR_PUBLIC", "SpencerFrontendService", "ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken"
	}
	body := []byte("{}")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.amazonEndpoint(name, r.api(service)), bytes.NewReader(body))
	if err != nil {
		return account{}, missing("AWS_ENDPOINT_URL_"+name+" or AWS_ENDPOINT_URL is no URL", "correct it, or leave it out")
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", target+".GetAuthorizationToken")
	hash := sha256.Sum256(body)
	talk := c.outside(ctx, nil)
	if err := v4.NewSigner().SignHTTP(ctx, keys, request, hex.EncodeToString(hash[:]), service, r.region, time.Now()); err != nil {
		return account{}, missing("its keys sign nothing", r.How())
	}
	answer, ok := talk.send(request)
	if ok {
		user, password, found := strings.Cut(passwordOf(answer), ":")
		if found {
			return account{user, password, as}, nil
		}
	}
	code := amazonCode(talk.body)
	return account{}, talk.problem(code, amazonMeaning(talk.status, code, meaning{failure.Forbidden, "allow " + action + " to " + as},
		"see that its keys are valid, and that the clock is right"), "let the proxy and firewalls pass it")
}

// api is the address of the registry's service, as the library's rules have it (its package ecr, endpoints.go).
func (r *Registry) api(service string) string {
	if r.fips {
		service += "-fips"
	}
	if !r.dual {
		service = "api." + service
	}
	return "https://" + service + "." + r.region + "." + r.domain
}

// amazonEndpoint is where a service is: by default, or where the variables of Amazon's libraries say.
func (c *Client) amazonEndpoint(service, byDefault string) string {
	for _, name := range []string{"AWS_ENDPOINT_URL_" + service, "AWS_ENDPOINT_URL"} {
		if url := c.Getenv(name); url != "" {
			return url
		}
	}
	return byDefault
}

// passwordOf reads ECR's answer, USER:PASSWORD in base64. That of the private registries is a list, of one.
func passwordOf(answer []byte) string {
	type data struct{ AuthorizationToken []byte }
	var one struct{ AuthorizationData data }
	var list struct{ AuthorizationData []data }
	if json.Unmarshal(answer, &one) == nil {
		return string(one.AuthorizationData.AuthorizationToken)
	}
	if json.Unmarshal(answer, &list) == nil && len(list.AuthorizationData) > 0 {
		return string(list.AuthorizationData[0].AuthorizationToken)
	}
	return ""
}

// amazonKeys are the keys that sign for the pod, and whose they are: from the first source that its variables name, in the
// order of Amazon's libraries, or else from the node.
func (c *Client) amazonKeys(ctx context.Context, r *Registry) (aws.Credentials, string, *Problem) {
	keys := aws.Credentials{AccessKeyID: c.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: c.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: c.Getenv("AWS_SESSION_TOKEN")}
	role, tokenFile := c.Getenv("AWS_ROLE_ARN"), c.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE")
	switch {
	case keys.AccessKeyID != "" && keys.SecretAccessKey != "":
		return keys, "the key in AWS_ACCESS_KEY_ID", nil
	case role != "" && tokenFile != "":
		return c.assume(ctx, r, role, tokenFile)
	case c.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "":
		return c.podIdentity(ctx)
	default:
		return c.instanceRole(ctx, r)
	}
}

// assume has STS exchange the service account's token for the role that its annotation names (IRSA). The request is not signed.
func (c *Client) assume(ctx context.Context, r *Registry, role, tokenFile string) (aws.Credentials, string, *Problem) {
	as := failure.Clean(role)
	token, err := file.Read(tokenFile, maxFile)
	if err != nil {
		return aws.Credentials{}, "", missing("the file that AWS_WEB_IDENTITY_TOKEN_FILE names cannot be read", "see that the pod was made after its service account was annotated")
	}
	region := r.region
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if own := c.Getenv(name); own != "" {
			region = own
			break
		}
	}
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"},
		"RoleArn": {role}, "RoleSessionName": {"image-refresh"}, "WebIdentityToken": {strings.TrimSpace(string(token))},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.amazonEndpoint("STS", "https://sts."+region+"."+r.domain), strings.NewReader(form.Encode()))
	if err != nil {
		return aws.Credentials{}, "", missing("AWS_ENDPOINT_URL_STS or AWS_ENDPOINT_URL is no URL", "correct it, or leave it out")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	talk := c.outside(ctx, nil)
	answer, ok := talk.send(request)
	var found struct {
		AccessKeyID     string `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
		SecretAccessKey string `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
		SessionToken    string `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	}
	if ok && xml.Unmarshal(answer, &found) == nil && found.SecretAccessKey != "" {
		return aws.Credentials{AccessKeyID: found.AccessKeyID, SecretAccessKey: found.SecretAccessKey, SessionToken: found.SessionToken}, as, nil
	}
	trust := "let " + as + " trust this service account (sts:AssumeRoleWithWebIdentity in its trust policy, for the cluster's OIDC provider)"
	code := amazonCode(talk.body)
	return aws.Credentials{}, "", talk.problem(code, amazonMeaning(talk.status, code, meaning{failure.Forbidden, trust},
		"register the cluster's OIDC provider in IAM, and "+trust), "let the proxy and firewalls pass it")
}

// podIdentity asks the agent of EKS Pod Identity on the node.
func (c *Client) podIdentity(ctx context.Context) (aws.Credentials, string, *Problem) {
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	talk := c.direct(ctx)
	keys, err := endpointcreds.New(c.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), func(o *endpointcreds.Options) {
		o.HTTPClient, o.Retryer, o.AuthorizationToken = talk.client(), aws.NopRetryer{}, c.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN")
		if name := c.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); name != "" {
			o.AuthorizationTokenProvider = endpointcreds.TokenProviderFunc(func() (string, error) {
				token, err := file.Read(name, maxFile)
				return strings.TrimSpace(string(token)), err
			})
		}
	}).Retrieve(ctx)
	if err == nil {
		return keys, "the role of its Pod Identity association", nil
	}
	if talk.status == 0 && talk.failed == nil {
		return aws.Credentials{}, "", missing("the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names cannot be read", "see that the pod was made after its Pod Identity association")
	}
	refused := meaning{failure.Forbidden, "let the role of the pod's Pod Identity association trust pods.eks.amazonaws.com (sts:AssumeRole and sts:TagSession in its trust policy)"}
	if talk.status == http.StatusNotFound {
		refused = meaning{failure.CredentialMissing, "create a Pod Identity association for the pod's service account"}
	}
	p := talk.problem(amazonCode(talk.body), refused, "see that the EKS Pod Identity agent runs on the node")
	p.Waited = metadataPatience
	return aws.Credentials{}, "", p
}

// instanceRole asks the metadata service of EC2 for the node's role. A pod does not reach it where the hop limit is 1.
func (c *Client) instanceRole(ctx context.Context, r *Registry) (aws.Credentials, string, *Problem) {
	const node = "; for the node's own role a pod needs a hop limit of 2"
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	talk := c.direct(ctx)
	service := imds.New(imds.Options{HTTPClient: talk.client(), Retryer: aws.NopRetryer{}})
	keys, err := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = service }).Retrieve(ctx)
	if err == nil {
		return keys, "the node's role", nil
	}
	half := ""
	switch {
	case c.Getenv("AWS_ROLE_ARN") != "":
		half = ": AWS_ROLE_ARN is set and AWS_WEB_IDENTITY_TOKEN_FILE is not"
	case c.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "":
		half = ": AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not"
	}
	if talk.failed != nil {
		return aws.Credentials{}, "", &Problem{Failure: *talk.failed, Waited: metadataPatience, Fix: r.How() + half + node}
	}
	if talk.status == 0 {
		return aws.Credentials{}, "", missing("the pod has no role, and AWS_EC2_METADATA_DISABLED is set"+half, r.How())
	}
	if talk.status < http.StatusInternalServerError && talk.status != http.StatusTooManyRequests {
		p := missing("the pod has no role, and neither has the node"+half, r.How())
		p.Failure = wire.Failure{Place: talk.place, Status: talk.status}
		return aws.Credentials{}, "", p
	}
	return aws.Credentials{}, "", talk.problem("", meaning{}, "")
}

// amazonCode is the code of an error: STS sends it in XML, other services in JSON, some of them with their name in front.
func amazonCode(body []byte) string {
	var inXML struct {
		Code string `xml:"Error>Code"`
	}
	if xml.Unmarshal(body, &inXML) == nil && inXML.Code != "" {
		return inXML.Code
	}
	var inJSON struct {
		Type string `json:"__type"`
		Code string `json:"code"`
	}
	if json.Unmarshal(body, &inJSON) != nil {
		return ""
	}
	if inJSON.Type == "" {
		return inJSON.Code
	}
	return inJSON.Type[strings.LastIndex(inJSON.Type, "#")+1:]
}

// amazonMeaning is what a refusal means, by its code (AWS General Reference, "Common errors"): without rights, throttled, or
// not believed.
func amazonMeaning(status int, code string, without meaning, disbelieved string) meaning {
	name := strings.TrimSuffix(code, "Exception")
	switch {
	case strings.HasPrefix(name, "Throttl"), slices.Contains([]string{"TooManyRequests", "RequestLimitExceeded"}, name):
		return meaning{failure.RateLimited, ""}
	case slices.Contains([]string{"AccessDenied", "UnauthorizedOperation", "OptInRequired"}, name), status == http.StatusForbidden && code == "":
		return without
	case status == http.StatusUnauthorized, slices.Contains([]string{
		"InvalidIdentityToken", "ExpiredToken", "IDPRejectedClaim", "UnrecognizedClient", "InvalidClientTokenId", "InvalidSignature",
		"SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken", "RequestExpired",
	}, name):
		return meaning{failure.Unauthorized, disbelieved}
	default:
		return meaning{failure.BadResponse, "check what it is that answers there, and the role's name"}
	}
}
