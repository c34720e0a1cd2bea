// Package metrics counts what the platform does, for Prometheus. No label holds what an outsider can
// choose, so that the number of series is bounded, and none tells of a single SIM.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of one platform. It implements httpapi.Watch.
type Metrics struct {
	registry  *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	limited   *prometheus.CounterVec
	followers prometheus.Gauge
	expired   prometheus.Counter
	failures  *prometheus.CounterVec
}

// New returns metrics in a registry of their own. Head is the number of the feed's last event, and
// ends tells when the platform's own TLS certificate does.
func New(head func() int64, ends func() time.Time) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "simroot_requests_total",
			Help: "Requests answered, by operation of the API and status."}, []string{"operation", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "simroot_request_duration_seconds",
			Help: "Time from the request to its answer, by operation of the API.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}, []string{"operation"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "simroot_requests_limited_total",
			Help: "Requests refused because there were too many, by the limit: sim, address or total."}, []string{"limit"}),
		followers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "simroot_feed_followers",
			Help: "Application servers that follow the feed at this node."}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{Name: "simroot_credentials_expired_total",
			Help: "Credentials that this node has found expired."}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "simroot_job_failures_total",
			Help: "Periodic jobs that failed and are tried again, by job."}, []string{"job"}),
	}
	m.registry.MustRegister(m.requests, m.durations, m.limited, m.followers, m.expired, m.failures,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "simroot_feed_head", Help: "Number of the feed's last event."},
			func() float64 { return float64(head()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "simroot_server_certificate_end_seconds", Help: "When the platform's own TLS certificate ends, in seconds since 1970."},
			func() float64 { return float64(ends().Unix()) }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Answered counts a request. A request that meets no operation has the name none.
func (m *Metrics) Answered(operation string, status int, took time.Duration) {
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.durations.WithLabelValues(operation).Observe(took.Seconds())
}

// Limited counts a request that was one too many.
func (m *Metrics) Limited(by string) { m.limited.WithLabelValues(by).Inc() }

// Follows counts a follower of the feed in, and out when it goes.
func (m *Metrics) Follows() (gone func()) {
	m.followers.Inc()
	return m.followers.Dec
}

// Expired counts credentials.
func (m *Metrics) Expired(n int) { m.expired.Add(float64(n)) }

// Failed counts the failure of a job.
func (m *Metrics) Failed(job string) { m.failures.WithLabelValues(job).Inc() }
