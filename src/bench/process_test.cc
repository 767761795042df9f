#include "bench/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/wait.h"

namespace warren::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Words, AreSplitLikeAShellDoesWithoutExpanding) {
  EXPECT_THAT(*split_words("a  'b c' \"d 'e'\" f\\ g $HOME ''"),
              ElementsAre("a", "b c", "d 'e'", "f g", "$HOME", ""));
  EXPECT_THAT(*split_words("--name=\"two words\""), ElementsAre("--name=two words"));
}

TEST(Words, NeedAnEnd) {
  EXPECT_FALSE(split_words("echo 'never closed"));
  EXPECT_FALSE(split_words("   "));
}

TEST(Words, SurviveARoundTrip) {
  const std::vector<std::string> words = {"a b", "it's", "", "$x;", "plain-1.2/3"};
  EXPECT_EQ(*split_words(join_words(words)), words);
}

Result<std::unique_ptr<Process>> shell(const std::string& script) {
  return Process::start({{"sh", "-c", script}, {"GREETING=hello"}}, nullptr);
}

void await_end(Process& process) {
  ASSERT_TRUE(wait_until("the end", [&]() -> Result<bool> { return !process.running(); }));
}

TEST(Process, KeepsWhatTheProgramSays) {
  auto process = shell("echo $GREETING");
  ASSERT_TRUE(process) << process.error().message;
  await_end(**process);
  EXPECT_TRUE((*process)->succeeded());
  EXPECT_EQ((*process)->output(), "hello\n");
}

TEST(Process, SaysHowItEndedInTheProgramsWords) {
  auto process = shell("echo something is wrong >&2; exit 3");
  ASSERT_TRUE(process);
  await_end(**process);
  EXPECT_FALSE((*process)->succeeded());
  EXPECT_THAT((*process)->obituary(), HasSubstr("sh exited with status 3:\nsomething is wrong"));
  auto killed = shell("kill -9 $$");
  ASSERT_TRUE(killed);
  await_end(**killed);
  EXPECT_THAT((*killed)->obituary(), HasSubstr("signal 9"));
}

TEST(Process, IsStoppedEvenIfItDoesNotWantTo) {
  auto process = shell("trap '' TERM; echo ready; while :; do sleep 100 & wait; done");
  ASSERT_TRUE(process);
  ASSERT_TRUE(wait_until("ready", [&]() -> Result<bool> { return !(*process)->output().empty(); }));
  (*process)->stop();
  EXPECT_FALSE((*process)->running());
}

TEST(Process, NamesTheProgramThatIsNotThere) {
  const auto process = Process::start({{"no-such-program-here"}, {}}, nullptr);
  ASSERT_FALSE(process);
  EXPECT_THAT(process.error().message, HasSubstr("no-such-program-here"));
}

}  // namespace
}  // namespace warren::bench
