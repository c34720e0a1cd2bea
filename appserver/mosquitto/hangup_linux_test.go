package mosquitto

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// A broker that is still starting would be ended by SIGHUP, and is left alone.
func TestAProcessThatDoesNotHandleHangupIsLeftAlone(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait()
	defer sleep.Process.Kill()
	if catchesHangup(sleep.Process.Pid) {
		t.Error("sleep is said to handle SIGHUP")
	}
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	defer signal.Stop(handled)
	if !catchesHangup(os.Getpid()) {
		t.Error("this process is said not to handle SIGHUP")
	}
}
