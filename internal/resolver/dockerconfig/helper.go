package dockerconfig

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/tracebloc/image-refresh/internal/credential"
)

const (
	prefix     = "docker-credential-"
	patience   = 10 * time.Second
	maxOutput  = 64 << 10
	tokenUser  = "<token>" // in place of an account where the password is an identity token
	afterwards = time.Second
)

// helperName keeps a configuration from naming a program somewhere in the file system.
var helperName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

var errHelper = errors.New("the credential helper failed")

// ask runs a helper. What it said in its error, which may be anything, is not kept.
func ask(ctx context.Context, helper, server string) (credential.Credential, error) {
	if !helperName.MatchString(helper) {
		return credential.Credential{}, errHelper
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	run := func(arguments ...string) client.Program {
		command := exec.CommandContext(ctx, prefix+helper, arguments...) //nolint:gosec // the user's own configuration names it
		command.WaitDelay = afterwards                                   // for what it has started in its turn
		return &program{command: command}
	}
	found, err := client.Get(run, server)
	switch {
	case credentials.IsErrCredentialsNotFound(err):
		return credential.Credential{}, nil
	case err != nil:
		return credential.Credential{}, errHelper
	case found.Username == tokenUser:
		return credential.Docker(server, "", "", found.Secret), nil
	default:
		return credential.Docker(server, found.Username, found.Secret, ""), nil
	}
}

// program is a helper's process, without a shell, with an end and with bounds.
type program struct {
	command *exec.Cmd
}

func (p *program) Input(in io.Reader) { p.command.Stdin = in }

func (p *program) Output() ([]byte, error) {
	var output bounded
	p.command.Stdout = &output
	err := p.command.Run()
	return output.held.Bytes(), err
}

// bounded takes so much and no more, which ends the program that writes on.
type bounded struct{ held bytes.Buffer }

func (b *bounded) Write(text []byte) (int, error) {
	if b.held.Len()+len(text) > maxOutput {
		return 0, errHelper
	}
	return b.held.Write(text)
}
