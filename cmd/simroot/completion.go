package main

import (
	"context"
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

// fleetArgument completes the one argument of a command with the platform's fleets.
func fleetArgument(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return fleetsBegun(c, args, begun)
}

// fleetsBegun asks the platform that the command's flags name for the fleets that begin like this. A
// platform that does not answer at once completes nothing: nobody reads errors in the midst of typing.
func fleetsBegun(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
	defer cancel()
	_ = connectionOf(c).with(func(client *api.Client) error {
		for fleet, err := range client.Fleets(ctx) {
			if err != nil || len(names) == maxCompletions {
				return err
			}
			if strings.HasPrefix(fleet.Name, begun) {
				names = append(names, cobra.CompletionWithDesc(fleet.Name, string(fleet.Profile.Type)))
			}
		}
		return nil
	})
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
