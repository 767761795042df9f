#include "linux/ipsec.h"

#include <linux/xfrm.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <optional>

#include "linux/netlink_message.h"

namespace warren {
namespace {

using Buffer = std::array<char, 8192>;

bool counts_policies(const nlmsghdr* message) {
  bool some = false;
  const auto flags = sizeof(std::uint32_t);  // before the attributes
  netlink::for_each_attribute(message, flags, [&](const nlattr* attribute) {
    xfrmu_spdinfo info{};
    if (mnl_attr_get_type(attribute) != XFRMA_SPD_INFO ||
        mnl_attr_get_payload_len(attribute) < sizeof info)
      return;
    std::memcpy(&info, mnl_attr_get_payload(attribute), sizeof info);
    some = info.incnt + info.outcnt + info.fwdcnt != 0;
  });
  return some;
}

Result<bool> ask_for_policies(int fd) {
  netlink::Message question(XFRM_MSG_GETSPDINFO, 0, std::uint32_t{0});
  if (::send(fd, question.header(), question.header()->nlmsg_len, 0) < 0)
    return fail_errno("ask for IPsec policies");
  std::optional<Result<bool>> answer;
  while (!answer) {
    alignas(nlmsghdr) Buffer buffer;
    const auto size = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno("read the kernel's answer about IPsec policies");
    netlink::for_each_message(buffer.data(), size, [&](const nlmsghdr* message) {
      if (message->nlmsg_type == XFRM_MSG_NEWSPDINFO) answer = counts_policies(message);
      if (message->nlmsg_type != NLMSG_ERROR) return;
      const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
      answer = fail(std::strerror(-error->error), -error->error);
    });
  }
  return *answer;
}

}  // namespace

Result<IpsecPolicies> IpsecPolicies::watch() {
  // Listens first, so that none is missed between the question and the watch.
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM));
  if (!fd) return fail_errno("open a netlink socket for IPsec");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = XFRMGRP_POLICY;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("listen for IPsec policies");
  auto some = ask_for_policies(fd.get());
  if (!some) return fail_in("count IPsec policies", some.error());
  return IpsecPolicies(std::move(fd), *some);
}

bool IpsecPolicies::take_added() noexcept {
  bool added = false;
  for (;;) {
    alignas(nlmsghdr) Buffer buffer;
    const auto size = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != ENOBUFS) return added;
    if (size < 0) {  // some events were lost
      added = true;
      continue;
    }
    netlink::for_each_message(buffer.data(), size, [&](const nlmsghdr* message) {
      if (message->nlmsg_type == XFRM_MSG_NEWPOLICY || message->nlmsg_type == XFRM_MSG_UPDPOLICY)
        added = true;
    });
  }
}

}  // namespace warren
