#include "linux/netlink.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>

#include "linux/netlink_message.h"
#include "linux/netns.h"

namespace warren::netlink {

namespace {

constexpr std::size_t answer_size = 64 * 1024;

/// What the kernel said besides the errno, from the attributes behind an nlmsgerr.
std::string extended_text(const nlmsghdr* header, const nlmsgerr* error) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  std::size_t offset = sizeof *error;
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) offset += error->msg.nlmsg_len - sizeof(nlmsghdr);
  std::string text;
  for_each_attribute(header, offset, [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != NLMSGERR_ATTR_MSG) return;
    const char* start = mnl_attr_get_str(attribute);
    text.assign(start, ::strnlen(start, mnl_attr_get_payload_len(attribute)));
  });
  return text;
}

/// An errno as text, with the kernel's explanation and what to do where that is known.
tl::unexpected<Error> kernel_error(int code, const std::string& explanation) {
  std::string text = std::strerror(code);
  if (!explanation.empty()) text += fmt::format(" ({})", explanation);
  if (code == EPERM) text += "; run as root or with CAP_NET_ADMIN";
  return fail(text, code);
}

}  // namespace

Result<Socket> Socket::open() {
  Fd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
  if (!fd) return fail_errno("open a netlink socket");
  const int on = 1;
  // Older kernels lack these; then errors are only less clear.
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  (void)::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return Socket{std::move(fd)};
}

Result<Socket> Socket::open(std::string_view netns) {
  const auto scope = NetnsScope::enter(netns);
  if (!scope) return tl::unexpected(scope.error());
  return open();
}

Result<Socket> Socket::open(int netns) {
  const auto scope = NetnsScope::enter(netns);
  if (!scope) return tl::unexpected(scope.error());
  return open();
}

Result<std::size_t> Socket::receive(char* buffer, std::size_t size) {
  for (;;) {
    const auto got = ::recv(fd_.get(), buffer, size, 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return fail_errno("read a netlink answer");
  }
}

Result<> Socket::request(Message& message, const std::function<void(const nlmsghdr*)>& each) {
  auto* header = message.header();
  header->nlmsg_seq = ++sequence_;
  header->nlmsg_flags |= NLM_F_ACK;
  if (::send(fd_.get(), header, header->nlmsg_len, 0) < 0)
    return fail_errno("send a netlink request");

  const auto buffer = std::make_unique<char[]>(answer_size);
  for (;;) {
    const auto received = receive(buffer.get(), answer_size);
    if (!received) return tl::unexpected(received.error());
    int left = static_cast<int>(*received);
    for (auto* answer = static_cast<nlmsghdr*>(static_cast<void*>(buffer.get()));
         mnl_nlmsg_ok(answer, left); answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != sequence_) continue;
      if (answer->nlmsg_type == NLMSG_DONE) return {};
      if (answer->nlmsg_type != NLMSG_ERROR) {
        each(answer);
        continue;
      }
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer));
      if (error->error == 0) return {};
      return kernel_error(-error->error, extended_text(answer, error));
    }
  }
}

Result<> Socket::request(Message& message) {
  return request(message, [](const nlmsghdr*) {});
}

}  // namespace warren::netlink
