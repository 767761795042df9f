// What the examples share: flags, the two devices, signals, counters. Each example is then only the
// way of forwarding that it shows.
#pragma once

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <warren/counters.h>
#include <warren/tun.h>

namespace example {

struct Options {
  std::string iface1 = "tun11";
  std::string ip1 = "10.0.1.1";
  std::string iface2 = "tun22";
  std::string ip2 = "10.0.2.1";
  unsigned mtu = 1500;
  unsigned threads = 2;
  bool offload = false;
  bool pool = false;
  bool concurrent = false;
};

[[noreturn]] inline void die(std::string_view message) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
  std::exit(1);
}

/// The value of a set-up step; ends the program with the reason where it failed.
template <class T>
T must(warren::Result<T> result) {
  if (!result) die(result.error().message);
  return std::move(*result);
}

inline void print_usage(const char* program, std::string_view about) {
  std::printf(
      "%s: %.*s\n\n"
      "Makes two TUN devices and forwards between them, both ways, until SIGINT or SIGTERM.\n\n"
      "  --iface1 NAME  first device (tun11)     --ip1 ADDRESS[/LENGTH]  its address "
      "(10.0.1.1/24)\n"
      "  --iface2 NAME  second device (tun22)    --ip2 ADDRESS[/LENGTH]  its address "
      "(10.0.2.1/24)\n"
      "  --mtu BYTES    of both devices (1500)\n"
      "  --offload      super-packets and unfinished checksums between kernel and program\n"
      "  --thread N     threads that run coroutines (2); async examples only\n"
      "  --pool         pooled packets in the channel; async_channel only\n"
      "  --concurrent   one thread per direction; pass_through only\n",
      program, static_cast<int>(about.size()), about.data());
}

inline unsigned parse_number(std::string_view flag, std::string_view text, unsigned most) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0 || value > most)
    die(std::string(flag) + " takes a number from 1 to " + std::to_string(most) + ", not \"" +
        std::string(text) + "\"");
  return value;
}

inline Options parse(int argc, char** argv, std::string_view about) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const auto value = [&]() -> std::string {
      if (++i >= argc) die(std::string(flag) + " needs a value; see --help");
      return argv[i];
    };
    if (flag == "--iface1") {
      options.iface1 = value();
    } else if (flag == "--iface2") {
      options.iface2 = value();
    } else if (flag == "--ip1") {
      options.ip1 = value();
    } else if (flag == "--ip2") {
      options.ip2 = value();
    } else if (flag == "--mtu") {
      options.mtu = parse_number(flag, value(), 65535);
    } else if (flag == "--thread") {
      options.threads = parse_number(flag, value(), 64);
    } else if (flag == "--offload") {
      options.offload = true;
    } else if (flag == "--pool") {
      options.pool = true;
    } else if (flag == "--concurrent") {
      options.concurrent = true;
    } else if (flag == "--help" || flag == "-h") {
      print_usage(argv[0], about);
      std::exit(0);
    } else {
      die("unknown flag " + std::string(flag) + "; see --help");
    }
  }
  return options;
}

inline warren::Tun open_device(const std::string& name, std::string address,
                               const Options& options) {
  if (address.find('/') == std::string::npos) address += "/24";
  warren::TunConfig config;
  config.name = name;
  config.mtu = options.mtu;
  config.addresses = {must(warren::IpPrefix::parse(address))};
  config.offload = options.offload;
  return must(warren::Tun::open(config));
}

struct Devices {
  explicit Devices(const Options& options)
      : first(open_device(options.iface1, options.ip1, options)),
        second(open_device(options.iface2, options.ip2, options)) {}
  warren::Tun first;
  warren::Tun second;
};

/// SIGINT and SIGTERM, for one thread that waits for them. Make it before any thread is started.
class StopSignal {
 public:
  StopSignal() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  void wait() const {
    int signal = 0;
    sigwait(&signals_, &signal);
  }

 private:
  sigset_t signals_;
};

/// Ends the program from a thread that can forward no more. `error` is an errno value, or 0 where
/// the thread was asked to end.
inline void finish_thread(int error) {
  if (error == 0) return;
  std::fprintf(stderr, "read a device: %s\n", std::strerror(error));
  std::_Exit(1);
}

inline void print_counters(const std::string& from, const std::string& to,
                           const warren::Counters& read, const warren::Counters& written) {
  const auto number = [](const warren::Counter& counter) {
    return static_cast<unsigned long long>(counter.value());
  };
  std::printf("%s -> %s: read %llu packets, %llu bytes; wrote %llu, %llu\n", from.c_str(),
              to.c_str(), number(read.packets), number(read.bytes), number(written.packets),
              number(written.bytes));
  for (const auto* counters : {&read, &written})
    for (std::size_t i = 0; i < warren::drop_reason_count; ++i) {
      const auto reason = static_cast<warren::DropReason>(i);
      if (counters->dropped(reason) > 0)
        std::printf("  dropped %llu: %s\n",
                    static_cast<unsigned long long>(counters->dropped(reason)),
                    std::string(warren::drop_reason_name(reason)).c_str());
    }
}

}  // namespace example
