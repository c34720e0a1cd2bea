package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

// completionTimeout bounds how long a shell waits for the platform at a press of the tab key.
const completionTimeout = time.Second

// maxCompletions is more than anybody reads.
const maxCompletions = 500

// choices completes a flag with the words that it takes.
func choices[T ~string](c *cobra.Command, flag string, words ...T) {
	all := make([]cobra.Completion, len(words))
	for i, word := range words {
		all[i] = string(word)
	}
	// It fails only for a flag that is not there or that is completed already.
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(all, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

// completeFleets completes --fleet with the platform's fleets, in every command from c on downwards.
func completeFleets(c *cobra.Command) {
	if c.Flags().Lookup("fleet") != nil {
		if err := c.RegisterFlagCompletionFunc("fleet", fleetsBegun); err != nil {
			panic(err) // see choices
		}
	}
	for _, sub := range c.Commands() {
		completeFleets(sub)
	}
}

// upTo completes the first n arguments of a command, and no others.
func upTo(n int, complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(c, args, begun)
	}
}

// fleetsBegun are the fleets that begin like this.
func fleetsBegun(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return listed(c, begun, (*api.Client).Fleets, func(f api.Fleet) (string, string) { return f.Name, string(f.Profile.Type) })
}

// simsBegun are the SIMs whose ICCIDs begin like this.
func simsBegun(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return listed(c, begun, func(client *api.Client, ctx context.Context) iter.Seq2[api.SIM, error] {
		return client.SIMs(ctx, api.SIMFilter{After: begun})
	}, func(s api.SIM) (string, string) { return s.ICCID, s.Fleet + ", " + string(s.State) })
}

// credentialsBegun are the credentials whose IDs begin like this.
func credentialsBegun(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return listed(c, begun, func(client *api.Client, ctx context.Context) iter.Seq2[api.Credential, error] {
		return client.Credentials(ctx, api.CredentialFilter{After: begun})
	}, func(d api.Credential) (string, string) { return d.ID, string(d.State) + ", " + d.ICCID })
}

// listed asks the platform that the command's flags name for what begins like this, in a list that is in order. A
// platform that does not answer at once completes nothing: nobody reads errors in the midst of typing. Nor are some of
// too many told, of which the shell would take what they have in common for what all have.
func listed[T any](c *cobra.Command, begun string, list func(*api.Client, context.Context) iter.Seq2[T, error], tell func(T) (name, about string)) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
	defer cancel()
	err := connectionOf(c).with(func(client *api.Client) error {
		for item, err := range list(client, ctx) {
			if err != nil {
				return err
			}
			name, about := tell(item)
			switch {
			case strings.HasPrefix(name, begun):
				names = append(names, cobra.CompletionWithDesc(name, about))
			case name > begun:
				return nil
			}
			if len(names) > maxCompletions {
				names = cobra.AppendActiveHelp(nil, fmt.Sprintf("More than %d begin like this: type on", maxCompletions))
				return nil
			}
		}
		return nil
	})
	if err != nil {
		names = nil
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// connectionOf is the connection that the flags of a command name, which the shell has parsed so far.
func connectionOf(c *cobra.Command) *connection {
	n := &connection{}
	for flag, value := range map[string]*string{"platform": &n.url, "ca": &n.ca, "token-file": &n.tokenFile} {
		if f := c.Flag(flag); f != nil {
			*value = f.Value.String()
		}
	}
	return n
}
