package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/tracebloc/image-refresh/internal/config"
	"github.com/tracebloc/image-refresh/internal/notify"
	"github.com/tracebloc/image-refresh/internal/result"
)

// outside is who is told beside the one who runs the program; nil where nobody is named.
type outside struct {
	sender    *notify.Sender
	heartbeat *notify.Heartbeat
}

// configuration is what a person has configured, the addresses of those who are to be told included.
func (p *program) configuration(ctx context.Context) (config.Config, outside, error) {
	read, err := config.Read(ctx, p.lookup, p.overrides)
	var told outside
	var problems []error
	if read.NotifyURLs != "" {
		told.sender, problems = notify.Parse(string(read.NotifyURLs))
	}
	if read.HeartbeatURL != "" {
		var problem error
		if told.heartbeat, problem = notify.ParseHeartbeat(string(read.HeartbeatURL)); problem != nil {
			problems = append(problems, problem)
		}
	}
	if len(problems) == 0 {
		return read, told, err
	}
	if invalid, ok := errors.AsType[*config.Invalid](err); ok {
		problems = append(invalid.Problems, problems...)
	}
	return read, told, &config.Invalid{Problems: problems}
}

// beat tells that there was a tick. What goes wrong there changes nothing, and of a tick that was told to end nothing goes out.
func (o outside) beat(ctx context.Context, log *slog.Logger, report result.Report) {
	if o.heartbeat == nil || report.Command != "run" {
		return
	}
	if problem := o.heartbeat.Beat(ctx, report.ExitCode != result.ExitFine, report.Summary()); problem != "" && ctx.Err() == nil {
		log.WarnContext(ctx, "the heartbeat of HEARTBEAT_URL was not taken: "+problem)
	}
}
