#include "pool.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unistd.h>
#include <vector>

namespace rlidim {
namespace {

// Sleeping threads, woken for each job. Made on first use, and again after a fork, which leaves a
// child without them; never destroyed, since a process may exit with threads asleep.
class Pool {
  public:
    const pid_t process = getpid();

    void run(void (*kernel)(const void*, i64), const void* arguments, i64 tasks, int threads) {
        const std::unique_lock<std::mutex> owner(busy_, std::try_to_lock);
        if (!owner.owns_lock()) {  // another Python thread has the pool: the same, by ourselves
            for (i64 task = 0; task < tasks; ++task) kernel(arguments, task);
            return;
        }
        while (int(workers_.size()) < threads - 1) {
            const int number = int(workers_.size());
            workers_.emplace_back([this, number] { serve(number); });
            workers_.back().detach();
        }
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            kernel_ = kernel;
            arguments_ = arguments;
            tasks_ = tasks;
            next_ = 0;
            wanted_ = threads - 1;
            working_ = threads - 1;
            ++job_;
        }
        wake_.notify_all();
        work();
        spin([this] { return working_ == 0; });
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return working_ == 0; });
    }

  private:
    void work() {
        for (i64 task = next_++; task < tasks_; task = next_++) kernel_(arguments_, task);
    }

    // Products follow each other closely, and waking takes longer than many of them.
    template <class Ready> static void spin(const Ready& ready) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(50);
        while (!ready() && std::chrono::steady_clock::now() < end) {
        }
    }

    void serve(int number) {
        u64 seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        while (true) {
            lock.unlock();
            spin([&] { return job_ != seen; });
            lock.lock();
            wake_.wait(lock, [&] { return job_ != seen && number < wanted_; });
            seen = job_;
            lock.unlock();
            work();
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    std::mutex busy_, mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> workers_;
    void (*kernel_)(const void*, i64) = nullptr;
    const void* arguments_ = nullptr;
    i64 tasks_ = 0;
    std::atomic<i64> next_{0};
    int wanted_ = 0;
    std::atomic<int> working_{0};
    std::atomic<u64> job_{0};
};

Pool& pool() {
    static std::atomic<Pool*> current{new Pool};
    Pool* found = current;
    if (found->process != getpid()) {
        Pool* fresh = new Pool;
        if (current.compare_exchange_strong(found, fresh)) return *fresh;
        delete fresh;
        return *current;
    }
    return *found;
}

}  // namespace

void run(void (*kernel)(const void*, i64), const void* arguments, i64 tasks, int threads) {
    if (threads > tasks) threads = int(tasks);
    if (threads > 1) return pool().run(kernel, arguments, tasks, threads);
    for (i64 task = 0; task < tasks; ++task) kernel(arguments, task);
}

}  // namespace rlidim
