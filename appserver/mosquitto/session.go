package mosquitto

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// PIDFile reads the process ID of a broker from the file that it writes. It makes sure
// that a broker of that ID runs, as far as the system tells: a signal to a process that
// got the number later would end it.
func PIDFile(path string) func() (int, error) {
	return func() (int, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, fmt.Errorf("is the broker running? %w", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || pid <= 1 {
			return 0, fmt.Errorf("%s holds no process ID", path)
		}
		if _, err := os.Stat("/proc/self/comm"); err == nil {
			name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			if err != nil || strings.TrimSpace(string(name)) != "mosquitto" {
				return 0, fmt.Errorf("%s names process %d, which is not a running mosquitto", path, pid)
			}
		}
		return pid, nil
	}
}

// catchesHangup tells whether a process handles SIGHUP. A broker writes its PID file early
// and sets its handlers late: in between the signal would end it. Where the system does
// not tell, the answer is yes.
func catchesHangup(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(status)) {
		if mask, found := strings.CutPrefix(line, "SigCgt:"); found {
			caught, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err != nil || caught&(1<<(syscall.SIGHUP-1)) != 0
		}
	}
	return true
}

// sessionTimeout bounds the taking over of one session.
const sessionTimeout = 2 * time.Second

// end ends the session of a client: whatever connection has it is closed, and its
// subscriptions and queued messages are gone.
func (b *broker) end(ctx context.Context, client string) error {
	options := mqtt.NewClientOptions().
		AddBroker("unix://" + b.control).
		SetClientID(client).
		SetProtocolVersion(4). // MQTT 3.1.1
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetConnectTimeout(sessionTimeout)
	taker := mqtt.NewClient(options)
	connected := taker.Connect()
	defer taker.Disconnect(0)
	select {
	case <-connected.Done():
		if err := connected.Error(); err != nil {
			return fmt.Errorf("end the session of %s: %w", client, err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(2 * sessionTimeout):
		return errors.New("end the session of " + client + ": the broker does not answer on its control socket")
	}
}
